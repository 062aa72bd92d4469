package admin

import "github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"

type denials struct {
	*API
	adminv1connect.UnimplementedDenialServiceHandler // until each method is here
}
