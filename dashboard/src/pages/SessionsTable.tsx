import { Badge, Button, Text } from "@mantine/core";
import { useState } from "react";
import { useApiMutation } from "../api/useApiMutation";
import { LoginService, type Session } from "../gen/warder/admin/v1/login_pb";
import { VisibleText } from "../text/VisibleText";
import { type Column, DataTable } from "../ui/DataTable";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";

interface Props {
  sessions: readonly Session[];
  /** Whether to say whose they are. */
  ofEverybody?: boolean;
}

/** Sessions, each of which whoever sees it may end. */
export function SessionsTable({ sessions, ofEverybody = false }: Props) {
  const [ending, setEnding] = useState<Session>();
  return (
    <>
      <DataTable
        caption="Sessions"
        columns={[...(ofEverybody ? [user] : []), ...columns(setEnding)]}
        rows={sessions}
        rowKey={(session) => session.id}
        minWidth={960}
        empty="No session like that."
      />
      {ending && <EndSession session={ending} onClose={() => setEnding(undefined)} />}
    </>
  );
}

const user: Column<Session> = { title: "User", cell: (session) => session.user };

const columns = (onEnd: (session: Session) => void): Column<Session>[] => [
  { title: "Signed in by", cell: ({ method }) => method },
  { title: "From", cell: ({ address }) => <Address text={address} /> },
  { title: "Browser, as it claims", cell: ({ userAgent }) => <VisibleText text={userAgent} /> },
  { title: "Since", cell: ({ createdAt }) => <Time at={createdAt} /> },
  { title: "Last used", cell: ({ seenAt }) => <Time at={seenAt} /> },
  { title: "Ends", cell: ({ expiresAt }) => <Time at={expiresAt} /> },
  {
    title: "Actions",
    cell: (session) =>
      session.current ? (
        <Badge variant="default" tt="none" miw="max-content">
          This one
        </Badge>
      ) : (
        <Button
          size="xs"
          variant="default"
          aria-label={`End the session of ${session.user} from ${session.address}`}
          onClick={() => onEnd(session)}
        >
          End
        </Button>
      ),
  },
];

function Address({ text }: { text: string }) {
  return (
    <Text span size="sm" style={{ whiteSpace: "nowrap" }}>
      <VisibleText text={text} />
    </Text>
  );
}

function EndSession({ session, onClose }: { session: Session; onClose: () => void }) {
  const revoke = useApiMutation(LoginService.method.revokeSession, {
    done: () => `A session of ${session.user} ended`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`End this session of ${session.user}?`}
      explanation="Its browser is signed out at its next request. Signing in again is possible."
      verb="End"
      pending={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate({ id: session.id })}
      onClose={onClose}
    />
  );
}
