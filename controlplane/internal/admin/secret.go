package admin

import "github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"

type secrets struct {
	*API
	adminv1connect.UnimplementedSecretServiceHandler // until each method is here
}
