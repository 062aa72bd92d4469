import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { AgentSchema, AgentServerSchema, AuthoritySchema } from "../gen/warder/admin/v1/agent_pb";
import { agentFile, allowRule } from "./agentFile";
import {
  behind,
  certificateRemark,
  joinTokenState,
  notRotatable,
  peerState,
  remedy,
  since,
  standing,
  tally,
  tunnelWords,
  turns,
} from "./fleet";
import { joinCommand, likelyAddress } from "./joinCommand";

const now = new Date("2026-11-23T12:00:00Z");
const at = (minutes: number) => timestampFromDate(new Date(now.getTime() + minutes * 60_000));

test("who is revoked is not called connected", () => {
  expect(peerState({ connected: true, revoked: true })).toBe("revoked");
  expect(peerState({ connected: false, revoked: false })).toBe("away");
});

test("a node that is ahead of this replica is not behind", () => {
  expect(behind({ revision: 9n, desiredRevision: 7n })).toBe("no");
  expect(behind({ revision: 6n, desiredRevision: 7n })).toBe("1 revision");
});

test.each([
  [59, undefined],
  [31, undefined],
  [24, "not renewed"],
  [0, "over"],
] as const)("a certificate with %d minutes left", (minutes, remark) => {
  expect(certificateRemark(at(minutes), now)).toBe(remark);
});

test("a join token that was used is used, also when its time is over", () => {
  expect(joinTokenState({ usedAt: at(-30), expiresAt: at(-20) }, now)).toBe("used");
  expect(joinTokenState({ usedAt: undefined, expiresAt: at(-1) }, now)).toBe("expired");
  expect(joinTokenState({ usedAt: undefined, expiresAt: at(1) }, now)).toBe("good");
});

test("the last authority whose time has come signs", () => {
  const [old, present, next] = [
    create(AuthoritySchema, { signsFrom: at(-600), retiresAt: at(5) }),
    create(AuthoritySchema, { signsFrom: at(-60) }),
    create(AuthoritySchema, { signsFrom: at(60) }),
  ];
  expect(turns([old, present], now)).toEqual(["retires", "signs"]);
  expect(turns([present, next], now)).toEqual(["signs", "waits"]);
  expect(turns([next], now)).toEqual(["signs"]);
  expect(notRotatable([present], now)).toBeUndefined();
  expect(notRotatable([present, next], now)).toMatch(/takes over already/);
  expect(notRotatable([old, present], now)).toMatch(/still trusted/);
});

const laptop = (phase: string, agent = {}) => [
  create(AgentSchema, {
    name: "laptop",
    connected: true,
    servers: [{ name: "files", phase }],
    ...agent,
  }),
];
const files = { name: "files", agent: "laptop" };

test.each([
  [laptop("running"), "running"],
  [laptop("refused"), "refused"],
  [laptop("dancing"), "unknown"],
  [laptop("running", { connected: false }), "away"],
  [laptop("running", { revoked: true }), "revoked"],
  [laptop("running", { servers: [] }), "unreported"],
  [[], "unknown"],
] as const)("how a server is at its agent: %#", (agents, want) => {
  expect(standing(files, agents)?.standing).toBe(want);
});

test("of a server without an agent, or while agents are not known, nothing is said", () => {
  expect(standing({ name: "github", agent: "" }, [])).toBeUndefined();
  expect(standing(files, undefined)).toBeUndefined();
});

test("what is wrong comes with what to do", () => {
  expect(remedy({ standing: "refused" }, "laptop")).toMatch(/agent\.yaml/);
  expect(remedy({ standing: "away" }, "laptop")).toMatch(/warder-agent run/);
  expect(remedy({ standing: "revoked" }, "laptop")).toMatch(/join token/);
  expect(remedy({ standing: "running" }, "laptop")).toBeUndefined();
});

test("numbers in words", () => {
  const server = (phase: string) => create(AgentServerSchema, { phase });
  expect(tally([server("running"), server("refused"), server("running")])).toBe(
    "2 running, 1 refused",
  );
  expect(tally([])).toBe("none");
  expect(tunnelWords({ node: "edge", roundTrip: durationFromMs(12.3456) })).toBe("edge (12 ms)");
  for (const roundTrip of [undefined, durationFromMs(0)]) {
    expect(tunnelWords({ node: "edge", roundTrip })).toBe("edge");
  }
  expect(since(at(-125), now)).toBe("2 h");
  expect(since(at(1), now)).toBe("0 s");
});

test("the token goes by the environment, where no other user of the machine reads it", () => {
  const agent = { kind: "agent" };
  expect(joinCommand(agent, "control.corp:8444", "wdj_a_b_c", "sh")).toBe(
    "WARDER_JOIN_TOKEN=wdj_a_b_c warder-agent run --control-plane control.corp:8444",
  );
  expect(joinCommand({ kind: "node" }, "[::1]:8444", "wdj_a_b_c", "powershell")).toBe(
    "$env:WARDER_JOIN_TOKEN = 'wdj_a_b_c'; warder dataplane --control-plane [::1]:8444",
  );
});

test("whom a token lets in joins where the control plane says, at the dashboard's host if need be", () => {
  expect(likelyAddress("control.corp:9444", "warder.corp")).toBe("control.corp:9444");
  expect(likelyAddress(":9444", "warder.corp")).toBe("warder.corp:9444");
  expect(likelyAddress("[fd00::1]:9444", "warder.corp")).toBe("[fd00::1]:9444");
});

test("the rule that a file lacks has all that is run, quoted", () => {
  expect(agentFile).toMatch(/^allow:/);
  const plain = { command: ["node"], url: "", environmentNames: [], directory: "" };
  expect(allowRule(plain)).toBe('allow:\n  - command: "node"\n');
  expect(
    allowRule({
      command: ["npx", "-y", 'say "hi"'],
      url: "",
      environmentNames: ["TOKEN"],
      directory: "C:\\notes",
    }),
  ).toBe(
    [
      "allow:",
      '  - command: "npx"',
      '    args: ["-y", "say \\"hi\\""]',
      '    environment: ["TOKEN"]',
      '    directories: ["C:\\\\notes"]',
      "",
    ].join("\n"),
  );
  expect(allowRule({ ...plain, command: [], url: "http://127.0.0.1:1/mcp" })).toBe(
    'allow:\n  - url: "http://127.0.0.1:1/mcp"\n',
  );
});

test("what is typed as an address becomes no second command", () => {
  for (const typed of ["x:1; rm -rf /", "$(id):1", "a b:1", "host", ""]) {
    expect(joinCommand({ kind: "agent" }, typed, "t", "sh")).toMatch(/--control-plane HOST:PORT$/);
  }
});
