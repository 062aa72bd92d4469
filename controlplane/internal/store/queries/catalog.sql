-- Queries of a discovery that is recorded; call LockServer first.

-- name: ListAlikeNames :many
-- Names of other servers' entries of the kind that a person could take for one of
-- these: equal but for case, and for hyphen and underscore (security.md T-05).
SELECT exposed_name FROM entry
WHERE server_id <> @server_id AND kind = @kind AND translate(lower(exposed_name), '-', '_') = ANY (@folded::text[]);

-- name: UpdateOffer :exec
-- What the server's last list says of an entry that is known. The state comes
-- from catalog.Reconcile; what was approved, and the switch, are not touched. What
-- was found, and by which versions, comes with another definition only.
UPDATE entry
SET offered_hash = @offered_hash, risk = @risk, position = @position, missing = false, state = @state,
    risk_version = coalesce(sqlc.narg(risk_version)::text, risk_version),
    findings = coalesce(sqlc.narg(findings)::jsonb, findings),
    scanner_version = coalesce(sqlc.narg(scanner_version)::text, scanner_version)
WHERE id = @id;
