// Servers that agents have, against a control plane in memory: how they are added,
// changed and shown.

import { createRouterTransport } from "@connectrpc/connect";
import { afterEach, expect, test, vi } from "vitest";
import { AgentService } from "./gen/warder/admin/v1/agent_pb";
import { LoginService } from "./gen/warder/admin/v1/login_pb";
import { ServerService, ServerState } from "./gen/warder/admin/v1/server_pb";
import { enter, mount, shows, submit } from "./testPage";

const attack = '<img src=x onerror="alert(1)">\u202etxt.exe';
const secret = "s3cret-of-the-server";

const files = {
  name: "files",
  agent: "laptop",
  command: ["npx", "-y", attack],
  directory: attack,
  environmentNames: ["TOKEN", "LOG"],
  state: ServerState.FAILED,
  lastError: "the agent does not serve it",
};

interface World {
  server?: object;
  /** What the agent reports of the server. */
  report?: object;
  agent?: object;
  noAgents?: boolean;
}

const added = vi.fn();
const updated = vi.fn();

function open(path: string, { server = files, report, agent, noAgents }: World = {}) {
  const laptop = {
    name: "laptop",
    connected: true,
    servers: report ? [{ name: "files", known: true, ...report }] : [],
    ...agent,
  };
  const desktop = { name: "desktop", connected: true };
  const transport = createRouterTransport(({ service }) => {
    service(LoginService, { whoAmI: () => ({ name: "ana", permissions: ["servers:write"] }) });
    service(AgentService, { listAgents: () => ({ agents: noAgents ? [] : [laptop, desktop] }) });
    service(ServerService, {
      listServers: () => ({ servers: [server] }),
      getServer: () => ({ server }),
      addServer: (request) => {
        added(request);
        return { server: { name: request.name, agent: request.agent } };
      },
      updateServer: (request) => {
        updated(request);
        return { server };
      },
    });
  });
  return mount(path, transport);
}

afterEach(() => {
  added.mockClear();
  updated.mockClear();
});

const press = (page: HTMLElement, name: string) =>
  [...page.querySelectorAll("button")].find((each) => each.textContent === name)?.click();

/** The field with a label, as somebody finds it. */
function field<T extends HTMLElement>(page: HTMLElement, label: string): T {
  const found = [...page.querySelectorAll("label")].find((each) => each.textContent === label);
  const input = document.getElementById(found?.htmlFor ?? "");
  if (input === null) {
    throw new Error(`no field ${label}`);
  }
  return input as T;
}

function type(page: HTMLElement, label: string, value: string) {
  enter(field(page, label), value);
}

async function choose(page: HTMLElement, label: string, option: string) {
  field(page, label).click();
  const found = await vi.waitFor(() => {
    const options = [...page.querySelectorAll<HTMLElement>("[role=option]")];
    const match = options.find((each) => each.textContent === option);
    expect(match).toBeDefined();
    return match;
  });
  found?.click();
}

test.each([
  [{ report: { phase: "running", pid: 4711, restarts: 1n } }, "Running"],
  [{ report: { phase: "starting" } }, "Starting"],
  [{ report: { phase: "starting", lastLine: attack } }, "its last line: <img"],
  [{ report: { phase: "waiting", lastError: attack } }, "Failed there"],
  [{ report: { phase: "refused", lastError: attack } }, "Refused there"],
  [{}, "Not reported yet"],
  [{ agent: { connected: false } }, "Agent away"],
  [{ agent: { revoked: true } }, "Agent revoked"],
])(
  "T-14: how a server is at its agent is said in words that hide nothing: %#",
  async (world, text) => {
    for (const path of ["/servers", "/servers?server=files"]) {
      const page = open(path, world);
      await shows(page, text);
      await shows(page, "⟨U+202E⟩"); // Of the command, if not of the error.
      expect(page.querySelectorAll("img, script")).toHaveLength(0);
      expect(page.textContent).not.toContain("\u202e");
    }
  },
);

test("what an agent's file lacks for a server is there to be copied, and nowhere else", async () => {
  const page = open("/servers?server=files", { report: { phase: "refused" } });
  await shows(page, "What the file of laptop lacks");
  await shows(page, 'environment: ["TOKEN", "LOG"]');
  await shows(open("/servers?server=files", { report: { phase: "running", pid: 1 } }), "process 1");
  expect(document.body.textContent).not.toContain("lacks");
});

test("of a server beside its agent no process is spoken of, which the agent does not run", async () => {
  const server = { name: "files", agent: "laptop", url: "http://127.0.0.1:3001/mcp" };
  const page = open("/servers?server=files", { server, report: { phase: "running" } });
  await shows(page, "There");
  await shows(page, "Running");
  expect(page.textContent).toContain("http://127.0.0.1:3001/mcp");
  expect(page.textContent).not.toContain("no process");
});

test("an error that discovery repeats is said once", async () => {
  const server = { ...files, lastError: "its agent does not run it: no such rule" };
  const report = { phase: "refused", lastError: "no such rule" };
  const page = open("/servers", { server, report });
  await shows(page, "Refused there");
  expect(page.textContent?.split("no such rule")).toHaveLength(2);
});

test("the drawer shows what runs, word by word, and names of variables without values", async () => {
  const page = open("/servers?server=files", {
    report: { phase: "running", pid: 4711, restarts: 1n },
  });
  await shows(page, "process 4711, 1 restart");
  const words = [...page.querySelectorAll("[aria-label=Command] [role=listitem]")];
  expect(words.map((word) => word.textContent)).toHaveLength(3);
  await shows(page, "TOKEN, LOG (sealed)");
  expect(page.querySelector("a[href='/fleet?tab=agents&name=laptop']")).not.toBeNull();
});

test("a server that an agent runs is added as it is typed", async () => {
  const page = open("/servers");
  await shows(page, "Add a server");
  press(page, "Add a server");
  await shows(page, "Where it is");
  type(page, "Name", "notes");
  field<HTMLInputElement>(page, "An agent runs it").click();
  await shows(page, "No shell reads it");
  expect(page.textContent).not.toContain("loopback or private"); // Of a server with an address.
  type(page, "Command", "npx -y 'two words");
  submit(page);
  await shows(page, "is opened and not closed");
  type(page, "Command", `npx -y 'two words' ~/notes`);
  await vi.waitFor(() => {
    const words = [...page.querySelectorAll("[aria-label='What runs'] [role=listitem]")];
    expect(words.map((word) => word.textContent)).toEqual(["npx", "-y", "two words", "~/notes"]);
  });
  await shows(page, "To have a shell read them");
  press(page, "Add a variable");
  await vi.waitFor(() => field(page, "Variable 1"));
  type(page, "Variable 1", "TOKEN");
  type(page, "Value 1", secret);
  expect(field<HTMLInputElement>(page, "Value 1").type).toBe("password");
  submit(page);
  await shows(page, "Needed"); // The agent.
  expect(added).not.toHaveBeenCalled();
  await choose(page, "Agent", "laptop");
  field<HTMLInputElement>(page, "One process for all sessions").click();
  submit(page);
  await vi.waitFor(() => expect(added).toHaveBeenCalledOnce());
  expect(added.mock.calls[0]?.[0]).toMatchObject({
    name: "notes",
    agent: "laptop",
    url: "",
    command: ["npx", "-y", "two words", "~/notes"],
    environment: [{ name: "TOKEN", value: secret }],
    shared: true,
  });
  await shows(page, "What it offers is discovered when laptop serves it");
  expect(page.innerHTML).not.toContain(secret);
});

test("without an agent the form leads to a join token", async () => {
  const page = open("/servers", { server: { name: "github" }, noAgents: true });
  await shows(page, "Add a server");
  press(page, "Add a server");
  await shows(page, "Where it is");
  field<HTMLInputElement>(page, "It speaks HTTP beside an agent").click();
  await shows(page, "No agent was let in yet");
  expect(page.querySelector("a[href='/fleet?tab=tokens']")).not.toBeNull();
});

test("of a server that an agent runs, the environment is changed and nothing else is sent", async () => {
  const page = open("/servers?server=files");
  await shows(page, "TOKEN, LOG (sealed)");
  press(page, "Change");
  await shows(page, "Variables that are set for it no more");
  field<HTMLInputElement>(page, "LOG").click();
  press(page, "Add a variable");
  await vi.waitFor(() => field(page, "Variable 1"));
  type(page, "Variable 1", "TOKEN");
  type(page, "Value 1", secret);
  submit(page);
  await vi.waitFor(() => expect(updated).toHaveBeenCalledOnce());
  const request = updated.mock.calls[0]?.[0];
  expect(request).toMatchObject({
    name: "files",
    environment: [{ name: "TOKEN", value: secret }],
    removeEnvironment: ["LOG"],
    headers: [],
  });
  expect(request.command).toEqual([]);
  const { url, private: near, caCertificates, agent, directory, shared } = request;
  expect([url, near, caCertificates, agent, directory, shared]).toEqual(Array(6).fill(undefined));
});

test("a server goes to another agent, and another command runs there", async () => {
  const page = open("/servers?server=files");
  await shows(page, "TOKEN, LOG (sealed)");
  press(page, "Change");
  await shows(page, "Variables that are set for it no more");
  await choose(page, "Agent", "desktop");
  type(page, "Command", "");
  submit(page);
  await shows(page, "Needed");
  expect(updated).not.toHaveBeenCalled();
  type(page, "Command", "uvx 'two words'");
  type(page, "Directory", "/srv");
  field<HTMLInputElement>(page, "TOKEN").click();
  field<HTMLInputElement>(page, "LOG").click();
  field<HTMLInputElement>(page, "One process for all sessions").click();
  submit(page);
  await vi.waitFor(() => expect(updated).toHaveBeenCalledOnce());
  expect(updated.mock.calls[0]?.[0]).toMatchObject({
    name: "files",
    agent: "desktop",
    command: ["uvx", "two words"],
    directory: "/srv",
    shared: true,
    removeEnvironment: ["TOKEN", "LOG"],
  });
});
