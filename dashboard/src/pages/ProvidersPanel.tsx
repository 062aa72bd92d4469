import { Alert, Code, Group, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Provider, ProviderService } from "../gen/warder/admin/v1/provider_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { CopyButton } from "../ui/CopyButton";
import { type Column, DataTable } from "../ui/DataTable";
import { Facts } from "../ui/Facts";
import { Changes, SideDrawer } from "../ui/ItemDrawer";
import { ReasonModal } from "../ui/ReasonModal";
import { RowLink } from "../ui/RowLink";
import { Time } from "../ui/Time";
import { inWords } from "./groupRoles";
import { ProviderForm } from "./ProviderForm";

const route = getRouteApi("/signed-in/trust");

/** By which providers people sign in to the administration. */
export function ProvidersPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.providers(transport));
  const { name } = route.useSearch();
  const navigate = useNavigate();
  const [adding, setAdding] = useState(false);
  const [redirectUrl, setRedirectUrl] = useState<string>();
  return (
    <Stack align="stretch">
      <Group justify="space-between">
        <Text size="sm" flex="1 1 300px">
          People sign in to this dashboard by these, beside passwords or in their place.
        </Text>
        <ActButton needs="providers:write" onClick={() => setAdding(true)}>
          Add a provider
        </ActButton>
      </Group>
      {redirectUrl && <Redirect url={redirectUrl} onClose={() => setRedirectUrl(undefined)} />}
      <DataTable
        caption="Providers"
        columns={columns}
        rows={data.providers}
        rowKey={(provider) => provider.name}
        minWidth={860}
        empty="No provider yet: people need passwords. Add one here, or with: warder provider add NAME --issuer URL --client-id ID"
      />
      {name !== undefined && (
        <ProviderDrawer
          name={name}
          provider={data.providers.find((provider) => provider.name === name)}
          onClose={() => navigate({ ...pb.trust({ tab: "providers" }), resetScroll: false })}
        />
      )}
      {adding && <ProviderForm onAdded={setRedirectUrl} onClose={() => setAdding(false)} />}
    </Stack>
  );
}

const columns: Column<Provider>[] = [
  {
    title: "Name",
    cell: ({ name }) => (
      <RowLink bold to={pb.trust({ tab: "providers", name })}>
        {name}
      </RowLink>
    ),
  },
  { title: "Title", cell: ({ title }) => <VisibleText text={title} /> },
  { title: "URL", cell: ({ url }) => <VisibleText text={url} /> },
  { title: "Roles by group", cell: ({ groupRoles }) => <VisibleText text={inWords(groupRoles)} /> },
  { title: "Added", cell: ({ createdAt }) => <Time at={createdAt} /> },
];

/** What is to be done at a provider that was just added. */
function Redirect({ url, onClose }: { url: string; onClose: () => void }) {
  return (
    <Alert
      role="status"
      color="blue"
      title="The provider is added"
      withCloseButton
      closeButtonLabel="Close"
      onClose={onClose}
    >
      <Stack gap="xs" align="flex-start">
        <Text size="sm">Register this redirect URL there:</Text>
        <Code block>{url}</Code>
        <CopyButton value={url} label="Copy the URL" />
      </Stack>
    </Alert>
  );
}

interface DrawerProps {
  name: string;
  /** Absent: there is none of this name. */
  provider: Provider | undefined;
  onClose: () => void;
}

function ProviderDrawer({ name, provider, onClose }: DrawerProps) {
  return (
    <SideDrawer name={name} missing="There is no provider of this name." onClose={onClose}>
      {provider && (
        <>
          <Changes
            needs="providers:write"
            change={(done) => <ProviderForm provider={provider} onClose={done} />}
            remove={(done) => <RemoveProvider name={name} onClose={done} onRemoved={onClose} />}
          />
          <Details provider={provider} />
        </>
      )}
    </SideDrawer>
  );
}

function Details({ provider }: { provider: Provider }) {
  return (
    <Facts
      rows={[
        ["Title", provider.title && <VisibleText text={provider.title} />],
        ["URL", <VisibleText key="url" text={provider.url} />],
        ["Client id", <VisibleText key="client" text={provider.clientId} />],
        ["Client secret", provider.hasClientSecret ? "kept, sealed" : "none: a public client"],
        ["Scopes", <VisibleText key="scopes" text={["openid", ...provider.scopes].join(" ")} />],
        [
          "Name of the user",
          <VisibleText
            key="user"
            text={`claim ${provider.userClaim || "preferred_username, else a verified email"}`}
          />,
        ],
        ["Groups", <VisibleText key="groups" text={`claim ${provider.groupsClaim || "groups"}`} />],
        [
          "Roles by group",
          provider.groupRoles.length === 0 ? (
            "none: nobody may sign in by it"
          ) : (
            <VisibleText key="roles" text={inWords(provider.groupRoles)} />
          ),
        ],
        ["Private address", provider.private ? "allowed" : "not allowed"],
        ["Authorities", provider.caCertificates === "" ? "of the system" : "of its own"],
      ]}
    />
  );
}

interface RemoveProps {
  name: string;
  onClose: () => void;
  onRemoved: () => void;
}

function RemoveProvider({ name, onClose, onRemoved }: RemoveProps) {
  const remove = useApiMutation(ProviderService.method.removeProvider, {
    done: () => `${name} is removed`,
    onSuccess: onRemoved,
  });
  return (
    <ReasonModal
      title={`Remove the provider ${name}?`}
      explanation="The sessions that it began end. Its users stay, with roles and keys, and cannot sign in by it any more."
      verb="Remove"
      pending={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate({ name })}
      onClose={onClose}
    />
  );
}
