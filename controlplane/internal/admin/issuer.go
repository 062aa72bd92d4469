package admin

import "github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"

type issuers struct {
	*API
	adminv1connect.UnimplementedIssuerServiceHandler // until each method is here
}
