import { Group, Stack, Text } from "@mantine/core";
import { useSuspenseQuery } from "@tanstack/react-query";
import { getRouteApi, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import * as queries from "../api/queries";
import { useApiMutation } from "../api/useApiMutation";
import { type Issuer, IssuerService } from "../gen/warder/admin/v1/issuer_pb";
import { pb } from "../paths";
import { VisibleText } from "../text/VisibleText";
import { ActButton } from "../ui/ActButton";
import { type Column, DataTable } from "../ui/DataTable";
import { Facts } from "../ui/Facts";
import { Changes, SideDrawer } from "../ui/ItemDrawer";
import { ReasonModal } from "../ui/ReasonModal";
import { RowLink } from "../ui/RowLink";
import { Time } from "../ui/Time";
import { inWords } from "./groupRoles";
import { IssuerForm } from "./IssuerForm";

const route = getRouteApi("/signed-in/trust");

/** Who may sign the tokens of MCP clients. */
export function IssuersPanel() {
  const { transport } = route.useRouteContext();
  const { data } = useSuspenseQuery(queries.issuers(transport));
  const { name } = route.useSearch();
  const navigate = useNavigate();
  const [adding, setAdding] = useState(false);
  return (
    <Stack align="stretch">
      <Group justify="space-between">
        <Text size="sm" flex="1 1 300px">
          MCP clients may present access tokens that these sign, in place of an API key.
        </Text>
        <ActButton needs="issuers:write" onClick={() => setAdding(true)}>
          Add an issuer
        </ActButton>
      </Group>
      <DataTable
        caption="Issuers"
        columns={columns}
        rows={data.issuers}
        rowKey={(issuer) => issuer.name}
        minWidth={860}
        empty="No issuer yet: clients need API keys. Add one here, or with: warder issuer add NAME --issuer URL"
      />
      {name !== undefined && (
        <IssuerDrawer
          name={name}
          issuer={data.issuers.find((issuer) => issuer.name === name)}
          onClose={() => navigate({ ...pb.trust({ tab: "issuers" }), resetScroll: false })}
        />
      )}
      {adding && <IssuerForm onClose={() => setAdding(false)} />}
    </Stack>
  );
}

const columns: Column<Issuer>[] = [
  {
    title: "Name",
    cell: ({ name }) => (
      <RowLink bold to={pb.trust({ tab: "issuers", name })}>
        {name}
      </RowLink>
    ),
  },
  { title: "URL", cell: ({ url }) => <VisibleText text={url} /> },
  { title: "Audiences", cell: ({ audiences }) => <Audiences of={audiences} /> },
  {
    title: "User prefix",
    cell: ({ userPrefix }) =>
      userPrefix === "" ? "none: names users here" : <VisibleText text={userPrefix} />,
  },
  { title: "Added", cell: ({ createdAt }) => <Time at={createdAt} /> },
];

function Audiences({ of: audiences }: { of: string[] }) {
  return audiences.length === 0 ? (
    "the endpoint's URL"
  ) : (
    <VisibleText text={audiences.join(", ")} />
  );
}

interface DrawerProps {
  name: string;
  /** Absent: there is none of this name. */
  issuer: Issuer | undefined;
  onClose: () => void;
}

function IssuerDrawer({ name, issuer, onClose }: DrawerProps) {
  return (
    <SideDrawer name={name} missing="There is no issuer of this name." onClose={onClose}>
      {issuer && (
        <>
          <Changes
            needs="issuers:write"
            change={(done) => <IssuerForm issuer={issuer} onClose={done} />}
            remove={(done) => <RemoveIssuer name={name} onClose={done} onRemoved={onClose} />}
          />
          <Details issuer={issuer} />
        </>
      )}
    </SideDrawer>
  );
}

function Details({ issuer }: { issuer: Issuer }) {
  return (
    <Facts
      rows={[
        ["URL", <VisibleText key="url" text={issuer.url} />],
        ["Keys at", <VisibleText key="keys" text={issuer.jwksUrl} />],
        ["Algorithms", issuer.algorithms.join(", ")],
        ["Audiences", <Audiences key="audiences" of={issuer.audiences} />],
        ["User", <VisibleText key="user" text={`${issuer.userPrefix}{${issuer.userClaim}}`} />],
        ["Groups", issuer.groupsClaim && <VisibleText text={`claim ${issuer.groupsClaim}`} />],
        [
          "Application",
          <VisibleText
            key="application"
            text={`claim ${issuer.applicationClaim || "client_id, or azp"}`}
          />,
        ],
        [
          "Roles by group",
          issuer.groupRoles.length > 0 && <VisibleText text={inWords(issuer.groupRoles)} />,
        ],
        ["Scopes", issuer.scopes.length > 0 && <VisibleText text={issuer.scopes.join(" ")} />],
        ["Private address", issuer.private ? "allowed" : "not allowed"],
        ["Authorities", issuer.caCertificates === "" ? "of the system" : "of its own"],
      ]}
    />
  );
}

interface RemoveProps {
  name: string;
  onClose: () => void;
  onRemoved: () => void;
}

function RemoveIssuer({ name, onClose, onRemoved }: RemoveProps) {
  const remove = useApiMutation(IssuerService.method.removeIssuer, {
    done: () => `${name} is removed`,
    onSuccess: onRemoved,
  });
  return (
    <ReasonModal
      title={`Remove the issuer ${name}?`}
      explanation="Every connected node refuses its tokens within a second."
      verb="Remove"
      pending={remove.isPending}
      error={remove.error}
      onConfirm={() => remove.mutate({ name })}
      onClose={onClose}
    />
  );
}
