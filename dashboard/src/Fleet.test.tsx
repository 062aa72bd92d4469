// The page of nodes and agents against a control plane in memory: what hostile
// text does there, what is shown once, and what somebody sees who may do little.

import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { afterEach, expect, test, vi } from "vitest";
import { AgentService, EnrollmentService, type JoinToken } from "./gen/warder/admin/v1/agent_pb";
import { LoginService } from "./gen/warder/admin/v1/login_pb";
import { NodeService } from "./gen/warder/admin/v1/node_pb";
import { ServerService } from "./gen/warder/admin/v1/server_pb";
import { button, enter, mount, shows, submit } from "./testPage";

const attack = '<img src=x onerror="alert(1)">\u202etxt.exe';
const inAnHour = timestampFromDate(new Date(Date.now() + 3_600_000));
const anHourAgo = timestampFromDate(new Date(Date.now() - 3_600_000));

const laptop = {
  name: "laptop",
  region: attack,
  connected: true,
  version: attack,
  platform: attack,
  certificateEndsAt: inAnHour,
  tunnels: [{ node: attack }],
  servers: [
    { name: "files", known: true, phase: "running", what: attack, pid: 4711, startedAt: anHourAgo },
    { name: attack, phase: "waiting", declared: true, lastError: attack },
    { name: "notes", phase: "refused", declared: true, lastError: attack, restarts: 3n },
  ],
};

const edge = {
  name: "edge-1",
  region: attack,
  connected: true,
  revision: 5n,
  desiredRevision: 7n,
  refusal: attack,
  version: attack,
  tunnelAddress: attack,
  agents: [attack],
};

let used = false;

const joinToken = () =>
  ({
    id: "abc",
    kind: "agent",
    name: "laptop",
    createdBy: attack,
    expiresAt: inAnHour,
    usedAt: used ? anHourAgo : undefined,
  }) as JoinToken;

const added = vi.fn();
const removed = vi.fn();
const created = vi.fn();

interface World {
  permissions?: string[];
  agents?: object[];
  nodes?: object[];
  tokens?: boolean;
}

const owner = ["read", "peers:write", "authority:rotate", "servers:write"];

function open(
  path: string,
  { permissions = owner, agents = [laptop], nodes = [edge], tokens = true }: World = {},
) {
  used = false;
  const transport = createRouterTransport(({ service }) => {
    service(LoginService, { whoAmI: () => ({ name: "ana", permissions }) });
    service(NodeService, {
      listNodes: () => ({ nodes }),
      removeNode: (request) => {
        removed(request);
        return {};
      },
    });
    service(AgentService, {
      listAgents: () => ({ agents }),
      revokeAgent: () => {
        throw new ConnectError(`not now: ${attack}`, Code.FailedPrecondition);
      },
    });
    service(EnrollmentService, {
      listJoinTokens: () => ({ joinTokens: tokens ? [joinToken()] : [] }),
      createJoinToken: (request) => {
        created(request);
        return {
          token: "wdj_abc_secret_print",
          joinToken: joinToken(),
          controlPlane: "control.corp:9444",
        };
      },
      listAuthorities: () => ({
        authorities: [
          { fingerprint: "0123456789abcdef0123", signsFrom: anHourAgo, retiresAt: inAnHour },
          { fingerprint: "fedcba9876543210fedc", signsFrom: inAnHour },
        ],
      }),
    });
    service(ServerService, {
      listServers: () => ({ servers: [] }),
      addServer: (request) => {
        added(request);
        return { server: { name: request.name, agent: request.agent } };
      },
    });
  });
  return mount(path, transport);
}

afterEach(() => {
  added.mockClear();
  created.mockClear();
});

test.each([
  ["/fleet", "5 of 72 revisions behind"],
  ["/fleet?tab=agents", "1 running, 1 waiting, 1 refused"],
  ["/fleet?tab=agents&name=laptop", "Its servers"],
  [`/fleet?tab=agents&name=${encodeURIComponent(attack)}`, "There is no agent of this name"],
  ["/fleet?tab=tokens", "Not used yet"],
])(
  "T-14: what a node or an agent says becomes no element and hides nothing on %s",
  async (path, text) => {
    const page = open(path);
    await shows(page, text);
    await shows(page, "⟨U+202E⟩");
    expect(page.querySelectorAll("img, script")).toHaveLength(0);
    expect(page.textContent).not.toContain("\u202e");
  },
);

test("an agent's servers are shown with their process, their error and what to do", async () => {
  const page = open("/fleet?tab=agents&name=laptop");
  await shows(page, "Its servers");
  for (const text of ["4711", "up 1 h", "Running", "Failed there", "Refused there", "agent.yaml"]) {
    expect(page.textContent).toContain(text);
  }
});

test("what an agent's file declares is added from there, if a server can be called so", async () => {
  const page = open("/fleet?tab=agents&name=laptop");
  await shows(page, "Its servers");
  expect(page.textContent).toContain("under a name that no server can have");
  expect(() => button(page, `Add ${attack}`)).toThrow();
  expect(() => button(page, "Add files")).toThrow(); // It is a server already.
  button(page, "Add notes").click();
  await shows(page, "Add the server notes?");
  submit(page);
  await vi.waitFor(() =>
    expect(added).toHaveBeenCalledWith(expect.objectContaining({ name: "notes", agent: "laptop" })),
  );
});

test("a join token is shown once, with the command, until whom it lets in has come", async () => {
  const page = open("/fleet?tab=tokens");
  await shows(page, "Not used yet");
  button(page, "Create a join token").click();
  await shows(page, "What joins");
  const name = page.querySelector<HTMLInputElement>("[role=dialog] input[data-autofocus]");
  enter(name, "Laptop");
  submit(page);
  await shows(page, "beginning with a letter");
  expect(created).not.toHaveBeenCalled();
  enter(name, "laptop");
  submit(page);
  await shows(page, "It is shown this once");
  await shows(page, "--control-plane control.corp:9444");
  expect(created.mock.calls[0]?.[0]).toMatchObject({
    kind: "agent",
    name: "laptop",
    life: { seconds: 900n },
  });
  expect(page.textContent).toContain("WARDER_JOIN_TOKEN=wdj_abc_secret_print warder-agent run");
  expect(page.textContent).toContain("laptop has not joined yet");
  used = true;
  await shows(page, "laptop has joined.");
  expect(window.location.href).not.toContain("wdj_");
  button(page, "Done").click();
  await vi.waitFor(() => expect(page.innerHTML).not.toContain("wdj_"));
});

test("an authority that takes over is told from the one that signs, and no other is made meanwhile", async () => {
  const page = open("/fleet?tab=authority");
  await shows(page, "0123456789abcdef");
  expect(page.textContent).toContain("Signs");
  expect(page.textContent).toContain("Waits for its turn");
  expect(button(page, "Rotate").getAttribute("aria-disabled")).toBe("true");
});

test.each([
  ["/fleet", "Revoke edge-1"],
  ["/fleet", "Remove edge-1"],
  ["/fleet?tab=agents&name=laptop", "Revoke"],
  ["/fleet?tab=agents&name=laptop", "Add notes"],
  ["/fleet?tab=tokens", "Create a join token"],
  ["/fleet?tab=tokens", "Revoke abc"],
  ["/fleet?tab=authority", "Rotate"],
])("who may only look finds on %s why %j does nothing", async (path, name) => {
  const page = open(path, { permissions: ["read"] });
  const found = await vi.waitFor(() => button(page, name), 5_000);
  expect(found.getAttribute("aria-disabled")).toBe("true");
  const reason = document.getElementById(found.getAttribute("aria-describedby") ?? "");
  expect(reason?.textContent).toMatch(
    /needs the permission (peers:write|authority:rotate|servers:write)/,
  );
});

test.each([
  ["/fleet", "warder join-token create --kind node"],
  ["/fleet?tab=agents", "warder-agent run --control-plane"],
  ["/fleet?tab=tokens", "warder join-token create --kind agent"],
])("an empty tab says what to do next: %s", async (path, command) => {
  const page = open(path, { nodes: [], agents: [], tokens: false });
  await shows(page, command);
});

test("a node that is gone is removed, and one that is connected is not", async () => {
  const page = open("/fleet", { nodes: [edge, { ...edge, name: "gone", connected: false }] });
  const found = await vi.waitFor(() => button(page, "Remove edge-1"), 5_000);
  expect(found.getAttribute("aria-disabled")).toBe("true");
  button(page, "Remove gone").click();
  await shows(page, "Remove the node gone?");
  submit(page);
  await vi.waitFor(() => expect(removed.mock.calls[0]?.[0]).toMatchObject({ name: "gone" }), 5_000);
});

test("a revocation asks first, and says in its words why it was refused", async () => {
  const page = open("/fleet?tab=agents&name=laptop");
  await shows(page, "Its servers");
  button(page, "Revoke").click();
  await shows(page, "Revoke the agent laptop?");
  submit(page);
  await shows(page, "not now: <img");
  expect(page.querySelector("[role=alert]")?.textContent).toContain("⟨U+202E⟩");
});
