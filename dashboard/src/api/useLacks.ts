import { useTransport } from "@connectrpc/connect-query";
import { useSuspenseQuery } from "@tanstack/react-query";
import { whoAmI } from "./queries";

/** What the pages ask for, by the names of controlplane/internal/login/permission.go. */
export type Permission =
  | "servers:write"
  | "tools:approve"
  | "keys:write"
  | "applications:write"
  | "denials:write"
  | "alerts:write"
  | "policy:write"
  | "users:write"
  | "roles:write"
  | "issuers:write"
  | "providers:write"
  | "peers:write"
  | "authority:rotate"
  | "seal-keys:rotate"
  | "secrets:rewrap";

/**
 * Why the person who is signed in may not do what needs a permission; undefined if
 * he may. It only explains: the control plane decides, whatever a page shows.
 */
export function useLacks(permission: Permission): string | undefined {
  const { data } = useSuspenseQuery(whoAmI(useTransport()));
  return data.permissions.includes(permission)
    ? undefined
    : `This needs the permission ${permission}, which none of your roles holds.`;
}
