package admin

import "github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"

type providers struct {
	*API
	adminv1connect.UnimplementedProviderServiceHandler // until each method is here
}
