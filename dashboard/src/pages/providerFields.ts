// What the form of a sign-on provider holds.

import type { Provider } from "../gen/warder/admin/v1/provider_pb";
import * as rules from "../ui/fieldRules";
import { fromRows, groupRoleRules, toRows } from "./groupRoles";

/** A provider as a form holds it. Absent: one that is to be added. */
export function providerValues(provider?: Provider) {
  return {
    name: provider?.name ?? "",
    title: provider?.title ?? "",
    url: provider?.url ?? "",
    clientId: provider?.clientId ?? "",
    /** Never what is kept, which is shown to nobody. Empty: as it is. */
    clientSecret: "",
    /** A public client: what is kept is forgotten. */
    noSecret: false,
    scopes: provider?.scopes ?? [],
    userClaim: provider?.userClaim ?? "",
    groupsClaim: provider?.groupsClaim ?? "",
    groupRoles: toRows(provider?.groupRoles ?? []),
    private: provider?.private ?? false,
    caCertificates: provider?.caCertificates ?? "",
  };
}

export type ProviderValues = ReturnType<typeof providerValues>;

/** The provider that a form says. An update replaces all of one, so nothing is left out. */
export const toProvider = ({
  groupRoles,
  clientSecret: _,
  noSecret: __,
  ...values
}: ProviderValues) => ({ ...values, groupRoles: fromRows(groupRoles) });

/** The secret that an update sends: undefined leaves the one that is kept. */
export function changedSecret({
  clientSecret,
  noSecret,
}: Pick<ProviderValues, "clientSecret" | "noSecret">): string | undefined {
  return noSecret ? "" : clientSecret || undefined;
}

export const providerRules = {
  name: rules.issuerName,
  url: rules.httpUrl,
  clientId: rules.required,
  caCertificates: rules.certificates,
  groupRoles: groupRoleRules,
};
