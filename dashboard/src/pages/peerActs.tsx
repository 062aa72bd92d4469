// What can be done to a node or an agent, and what is asked before.

import { Group } from "@mantine/core";
import { useApiMutation } from "../api/useApiMutation";
import { AgentService } from "../gen/warder/admin/v1/agent_pb";
import { NodeService } from "../gen/warder/admin/v1/node_pb";
import { ActButton } from "../ui/ActButton";
import { ReasonModal } from "../ui/ReasonModal";

export type PeerAct = "Revoke" | "Remove";

interface ButtonsProps {
  /** Whether it is revoked already. */
  revoked: boolean;
  /** Why it cannot be removed now; undefined if it can. */
  stays: string | undefined;
  /** Whose acts they are, where those of others stand beside them. */
  of?: string;
  onAct: (act: PeerAct) => void;
}

export function PeerActs({ revoked, stays, of, onAct }: ButtonsProps) {
  const unless: Record<PeerAct, string | undefined> = {
    Revoke: revoked ? "It is revoked. A new join token lets it in again." : undefined,
    Remove: stays,
  };
  return (
    <Group gap="xs" wrap="nowrap">
      {(["Revoke", "Remove"] as const).map((act) => (
        <ActButton
          key={act}
          needs="peers:write"
          unless={unless[act]}
          size="xs"
          variant="default"
          aria-label={of && `${act} ${of}`}
          onClick={() => onAct(act)}
        >
          {act}
        </ActButton>
      ))}
    </Group>
  );
}

const kinds = {
  node: {
    revoke: NodeService.method.revokeNode,
    remove: NodeService.method.removeNode,
    explanations: {
      Revoke:
        "Its stream ends, and neither the control plane nor agents nor other nodes take a certificate of it. What it has of the configuration it keeps, and clients that reach it may still be served: stop it as well. A new join token lets it in again.",
      Remove:
        "It is revoked, and forgotten: nobody waits for it any more. A new join token lets it in again.",
    },
  },
  agent: {
    revoke: AgentService.method.revokeAgent,
    remove: AgentService.method.removeAgent,
    explanations: {
      Revoke:
        "Its tunnels end, and no certificate of it is taken. Its servers stay, and are away. A new join token lets it in again.",
      Remove: "It is revoked, and forgotten. A new join token lets it in again.",
    },
  },
};

interface ConfirmationProps {
  kind: keyof typeof kinds;
  act: PeerAct;
  name: string;
  onClose: () => void;
  /** Called in place of onClose when there is no such peer any more. */
  onGone?: () => void;
}

export function PeerConfirmation({
  kind,
  act,
  name,
  onClose,
  onGone = onClose,
}: ConfirmationProps) {
  const { explanations, ...methods } = kinds[kind];
  type Revoke = typeof methods.revoke;
  type Remove = typeof methods.remove;
  const revoke = useApiMutation<Revoke["input"], Revoke["output"]>(methods.revoke, {
    done: () => `${name} is revoked`,
    onSuccess: onClose,
  });
  const remove = useApiMutation<Remove["input"], Remove["output"]>(methods.remove, {
    done: () => `${name} is removed`,
    onSuccess: onGone,
  });
  const run = act === "Revoke" ? revoke : remove;
  return (
    <ReasonModal
      title={`${act} the ${kind} ${name}?`}
      explanation={explanations[act]}
      verb={act}
      withReason={act === "Revoke"}
      pending={run.isPending}
      error={run.error}
      onConfirm={(reason) =>
        act === "Revoke" ? revoke.mutate({ name, reason }) : remove.mutate({ name })
      }
      onClose={onClose}
    />
  );
}
