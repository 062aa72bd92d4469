package store

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
)

// Rollback takes every migration back.
func Rollback(ctx context.Context, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	conn := stdlib.OpenDB(*config)
	defer func() { _ = conn.Close() }()
	provider, err := newProvider(conn)
	if err != nil {
		return err
	}
	_, err = provider.DownTo(ctx, 0)
	return err
}

// CheckServer runs the check of the server's version on what answers.
func CheckServer(ctx context.Context, answers db.DBTX) error {
	return checkServer(ctx, db.New(answers))
}
