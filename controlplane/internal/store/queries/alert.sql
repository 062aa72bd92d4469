-- name: RaiseAlert :exec
-- Something happened: it opens an alert, or counts up the one that is open.
INSERT INTO alert (kind, target, text)
VALUES (@kind, @target, @text)
ON CONFLICT (kind, target) WHERE closed_at IS NULL
DO UPDATE SET text = excluded.text, last_at = now(), count = alert.count + 1;

-- name: CountChange :execrows
-- Definitions of a server changed again while an alert about that is open: it
-- counts up. From the third time on, within an hour of the last, the server
-- flaps, and the same alert says so.
UPDATE alert
SET count = count + 1, last_at = now(), text = @text,
    kind = CASE WHEN count >= 2 AND last_at > now() - interval '1 hour' THEN 'server-flapping' ELSE kind END
WHERE target = @target AND kind IN ('definition-changed', 'server-flapping') AND closed_at IS NULL;

-- name: StateAlert :execrows
-- Something is so, and is found to be so again and again. It opens an alert or
-- counts up the open one only if it is other than the last one of its kind said,
-- so that one which a person closed stays closed.
INSERT INTO alert (kind, target, text)
SELECT @kind::text, @target::text, @text::text
WHERE NOT EXISTS (
    SELECT 1 FROM alert a
    WHERE a.id = (SELECT max(l.id) FROM alert l WHERE l.kind = @kind AND l.target = @target) AND a.text = @text
)
ON CONFLICT (kind, target) WHERE closed_at IS NULL
DO UPDATE SET text = excluded.text, last_at = now(), count = alert.count + 1;

-- name: CloseAlertsOf :execrows
-- What an alert of these kinds was about is over.
UPDATE alert SET closed_at = now(), closed_by = @closed_by::text
WHERE kind = ANY (@kinds::text[]) AND target = @target AND closed_at IS NULL;

-- name: CloseAlert :one
-- A person has seen to it.
UPDATE alert SET closed_at = now(), closed_by = @closed_by::text
WHERE id = @id AND closed_at IS NULL
RETURNING id, kind, target, text, first_at, last_at, count, closed_at, closed_by;

-- name: GetAlert :one
-- For the answer to somebody who closes what is closed, or was never there.
SELECT id, kind, target, text, first_at, last_at, count, closed_at, closed_by FROM alert WHERE id = @id;

-- name: ListAlerts :many
-- Open ones, or all; the newest first.
SELECT id, kind, target, text, first_at, last_at, count, closed_at, closed_by
FROM alert
WHERE @closed::boolean OR closed_at IS NULL
ORDER BY (closed_at IS NULL) DESC, last_at DESC, id DESC
LIMIT @row_limit;

-- name: CloseDecidedAlerts :exec
-- A person has decided about all that an alert of a server was about.
UPDATE alert SET closed_at = now(), closed_by = @closed_by::text
WHERE target = @target AND closed_at IS NULL AND (
    kind = 'definition-changed' AND NOT EXISTS (
        SELECT 1 FROM entry e JOIN server s ON s.id = e.server_id
        WHERE s.name = @target AND e.state = 'changed' AND NOT e.missing)
    OR kind = 'hard-finding' AND NOT EXISTS (
        SELECT 1 FROM entry e JOIN server s ON s.id = e.server_id
        WHERE s.name = @target AND e.state IN ('pending', 'changed') AND NOT e.missing AND e.findings <> '[]'));
