import { Group } from "@mantine/core";
import { useState } from "react";
import { useApiMutation } from "../api/useApiMutation";
import { useMyName } from "../api/useMyName";
import { LoginService } from "../gen/warder/admin/v1/login_pb";
import { type User, UserService } from "../gen/warder/admin/v1/user_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { UserStateBadge } from "../ui/badges";
import { Facts } from "../ui/Facts";
import { SideDrawer } from "../ui/ItemDrawer";
import { PageLink } from "../ui/PageLink";
import { ReasonModal } from "../ui/ReasonModal";
import { Time } from "../ui/Time";
import { PasswordForm } from "./PasswordForm";
import { ChangeUser, LinkUser } from "./userForms";
import { signInWays, userState } from "./userState";

interface Props {
  name: string;
  /** Absent: there is nobody of this name. */
  user: User | undefined;
  onClose: () => void;
}

/** One user: what he holds, and what can be done about him. */
export function UserDrawer({ name, user, onClose }: Props) {
  return (
    <SideDrawer name={name} missing="There is no user of this name." onClose={onClose}>
      {user && (
        <>
          {!user.removed && <UserActions user={user} />}
          <Details user={user} />
          <Group>
            <PageLink to={pb.access({ tab: "keys", q: user.name })} size="sm">
              Keys
            </PageLink>
            <PageLink to={pb.audit({ user: user.name })} size="sm">
              Calls
            </PageLink>
          </Group>
        </>
      )}
    </SideDrawer>
  );
}

function Details({ user }: { user: User }) {
  return (
    <Facts
      rows={[
        ["State", <UserStateBadge key="state" state={userState(user)} />],
        ["Reason", user.disabledReason && <VisibleText text={user.disabledReason} />],
        ["Roles", user.roles.join(", ") || "none: he may call nothing that a role grants"],
        ["Groups", user.groups.length > 0 && <VisibleText text={user.groups.join(", ")} />],
        ["Signs in by", signInWays(user).join(", ") || "nothing: he cannot sign in here"],
        ["Last sign-in", <Time key="seen" at={user.signedInAt} />],
        ["Created", <Time key="created" at={user.createdAt} />],
      ]}
    />
  );
}

type Act = "change" | "password" | "link" | "end" | "disable" | "enable" | "remove";

function UserActions({ user }: { user: User }) {
  const [act, setAct] = useState<Act>();
  const own = useMyName() === user.name;
  const acts: [Act, string][] = [
    ["change", "Change"],
    ["password", "Set password"],
    ["end", "End sessions"],
    user.disabled ? ["enable", "Enable"] : ["disable", "Disable"],
    ["remove", "Remove"],
  ];
  return (
    <Group gap="xs">
      {acts.map(([each, label]) => (
        <ActButton
          key={each}
          needs="users:write"
          size="xs"
          variant="default"
          unless={
            own && each === "password" ? "Change your own on the page of your account." : undefined
          }
          onClick={() => setAct(each)}
        >
          {label}
        </ActButton>
      ))}
      <ActButton needs="providers:write" size="xs" variant="default" onClick={() => setAct("link")}>
        Link to a provider
      </ActButton>
      {act && <Acting act={act} user={user} onClose={() => setAct(undefined)} />}
    </Group>
  );
}

function Acting({ act, user, onClose }: { act: Act; user: User; onClose: () => void }) {
  switch (act) {
    case "change":
      return <ChangeUser user={user} onClose={onClose} />;
    case "password":
      return <PasswordForm user={user} onClose={onClose} />;
    case "link":
      return <LinkUser user={user} onClose={onClose} />;
    case "end":
      return <EndSessions user={user} onClose={onClose} />;
    default:
      return <Confirmation act={act} user={user} onClose={onClose} />;
  }
}

const explanations = {
  disable:
    "His sessions end, and every connected node refuses his keys and tokens within a second, until somebody enables him.",
  enable: "He can sign in and call again. What else denies him stays.",
  remove:
    "This is final: keys are revoked, sessions end, and the name stays taken, so that the audit never speaks of two people by one name.",
};

interface ConfirmationProps {
  act: keyof typeof explanations;
  user: User;
  onClose: () => void;
}

function Confirmation({ act, user, onClose }: ConfirmationProps) {
  const { name } = user;
  const done = { disable: "disabled", enable: "enabled", remove: "removed" }[act];
  const told = { done: () => `${name} is ${done}`, onSuccess: onClose };
  const disable = useApiMutation(UserService.method.disableUser, told);
  const enable = useApiMutation(UserService.method.enableUser, told);
  const remove = useApiMutation(UserService.method.removeUser, told);
  const run = { disable, enable, remove }[act];
  const verb = { disable: "Disable", enable: "Enable", remove: "Remove" }[act];
  return (
    <ReasonModal
      title={`${verb} ${name}?`}
      explanation={explanations[act]}
      verb={verb}
      withReason={act !== "enable"}
      pending={run.isPending}
      error={run.error}
      onConfirm={(reason) => run.mutate({ name, reason })}
      onClose={onClose}
    />
  );
}

function EndSessions({ user: { name }, onClose }: { user: User; onClose: () => void }) {
  const revoke = useApiMutation(LoginService.method.revokeSession, {
    done: ({ ended }) => `${ended} of ${name}'s sessions ended`,
    onSuccess: onClose,
  });
  return (
    <ReasonModal
      title={`End the sessions of ${name}?`}
      explanation="Everywhere, but for the one you are using. He can sign in again."
      verb="End sessions"
      pending={revoke.isPending}
      error={revoke.error}
      onConfirm={() => revoke.mutate({ user: name })}
      onClose={onClose}
    />
  );
}
