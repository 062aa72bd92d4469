package admin

import "github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"

type alerts struct {
	*API
	adminv1connect.UnimplementedAlertServiceHandler // until each method is here
}
