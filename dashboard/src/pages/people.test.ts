// What the pages about people and credentials work out by themselves.

import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { DenialSchema } from "../gen/warder/admin/v1/denial_pb";
import { IssuerSchema } from "../gen/warder/admin/v1/issuer_pb";
import { KeySchema } from "../gen/warder/admin/v1/key_pb";
import { ProviderSchema } from "../gen/warder/admin/v1/provider_pb";
import { UserSchema } from "../gen/warder/admin/v1/user_pb";
import { denialsLike, notLiftable } from "./denials";
import { describe as inWords, isEmpty, noGrant } from "./grants";
import { nextRow } from "./groupRoles";
import { issuerRules, issuerValues, toIssuer } from "./issuerFields";
import { keyState, keysLike, notRotatable } from "./keyState";
import { keyLifetimes, lasting, overlaps, usualOverlap } from "./lifetime";
import { changedSecret, providerValues, toProvider } from "./providerFields";
import { rewrapState } from "./secrets";
import { signInWays, userState, usersLike } from "./userState";

const users = [
  { name: "ana", roles: ["owner"], groups: ["platform"] },
  { name: "bob", roles: ["viewer"], disabled: true },
  { name: "eve", disabled: true, removed: true },
].map((user) => create(UserSchema, user));
const names = (found: { name: string }[]) => found.map(({ name }) => name);

test("who was removed is no longer listed, unless the address asks for them", () => {
  expect(names(usersLike(users, {}))).toEqual(["ana", "bob"]);
  expect(names(usersLike(users, { state: "removed" }))).toEqual(["eve"]);
  expect(names(usersLike(users, { state: "disabled" }))).toEqual(["bob"]);
  expect(users.map(userState)).toEqual(["active", "disabled", "removed"]);
});

test("users are found by part of a name, a role or a group", () => {
  expect(names(usersLike(users, { q: "BO" }))).toEqual(["bob"]);
  expect(names(usersLike(users, { q: "own" }))).toEqual(["ana"]);
  expect(names(usersLike(users, { q: "platf" }))).toEqual(["ana"]);
});

test("the ways to sign in are the password and the provider, if there are any", () => {
  expect(signInWays({ hasPassword: true, provider: "corp" })).toEqual([
    "password",
    "provider corp",
  ]);
  expect(signInWays({ hasPassword: false, provider: "" })).toEqual([]);
});

const now = new Date("2026-11-22T12:00:00Z");
const at = (offset: number) => timestampFromDate(new Date(now.getTime() + offset));

test("a key is expired from the very moment on, and revoked whatever else it is", () => {
  expect(keyState(create(KeySchema, {}), now)).toBe("valid");
  expect(keyState(create(KeySchema, { expiresAt: at(1) }), now)).toBe("valid");
  expect(keyState(create(KeySchema, { expiresAt: at(0) }), now)).toBe("expired");
  const revoked = create(KeySchema, { expiresAt: at(-1), revokedAt: at(-2) });
  expect(keyState(revoked, now)).toBe("revoked");
});

test("keys are found by state and by what they say", () => {
  const keys = [
    create(KeySchema, { id: "k1", user: "ana", application: "cursor", servers: ["github"] }),
    create(KeySchema, { id: "k2", user: "bob", application: "cursor", revokedAt: at(-1) }),
  ];
  const ids = (q: string | undefined, state?: "valid" | "revoked") =>
    keysLike(keys, { q, state }, now).map(({ id }) => id);
  expect(ids("cursor")).toEqual(["k1", "k2"]);
  expect(ids("GitHub")).toEqual(["k1"]);
  expect(ids(undefined, "revoked")).toEqual(["k2"]);
  expect(ids("k2", "valid")).toEqual([]);
});

test("a key that has a successor is not rotated again", () => {
  expect(notRotatable({ successor: "" })).toBeUndefined();
  expect(notRotatable({ successor: "k2" })).toContain("k2");
});

test("choices of time are what they say", () => {
  const seconds = (label: string) => {
    const choice = [...keyLifetimes, ...overlaps].find((each) => each.label === label);
    return choice && lasting(choice.value)?.seconds;
  };
  expect(seconds("An hour")).toBe(3600n);
  expect(seconds("30 days")).toBe(30n * 86_400n);
  expect(seconds("Does not expire")).toBeUndefined();
  // Not at all is no time, which the server does not take for the usual one.
  expect(seconds("Not at all")).toBe(0n);
  expect(lasting(usualOverlap)?.seconds).toBe(86_400n);
});

test("a grant that is left blank is none, and one in words says what it is about", () => {
  expect(isEmpty(noGrant)).toBe(true);
  expect(isEmpty({ ...noGrant, risks: ["read"] })).toBe(false);
  expect(inWords({ ...noGrant, tools: ["a/*", "b/c"], risks: ["read"] })).toBe(
    "tools a/*, b/c of risk read",
  );
  expect(inWords(noGrant)).toBe("anything of any risk");
});

test("only what a person denied is lifted by itself; an unknown cause is not", () => {
  expect(notLiftable({ cause: "denial", kind: "user" })).toBeUndefined();
  expect(notLiftable({ cause: "disabled", kind: "application" })).toContain("application");
  expect(notLiftable({ cause: "revoked", kind: "key" })).toContain("final");
  expect(notLiftable({ cause: "revoked", kind: "agent" })).toContain("join token");
  expect(notLiftable({ cause: "", kind: "user" })).toBeDefined();
});

test("denials are found by kind and by part of the name", () => {
  const denials = [
    create(DenialSchema, { kind: "user", name: "ana" }),
    create(DenialSchema, { kind: "tool", name: "github/ana" }),
  ];
  expect(denialsLike(denials, { q: "AN" })).toHaveLength(2);
  expect(names(denialsLike(denials, { q: "an", kind: "tool" }))).toEqual(["github/ana"]);
});

test("how far secrets are sealed anew counts those of older keys", () => {
  const newest = { id: "b", seals: true, secrets: 7n, present: true };
  const older = { id: "a", seals: false, secrets: 2n, present: true };
  expect(rewrapState([newest, { ...older, secrets: 0n }]).older).toBe(0);
  expect(rewrapState([newest, older])).toMatchObject({ older: 2 });
  expect(rewrapState([newest, { ...older, present: false }]).words).toContain("lacks a key");
});

const issuer = create(IssuerSchema, {
  name: "corp",
  url: "https://login.example",
  audiences: ["https://gateway.example"],
  jwksUrl: "https://login.example/keys",
  algorithms: ["ES256"],
  userClaim: "sub",
  groupsClaim: "groups",
  applicationClaim: "azp",
  userPrefix: "corp:",
  groupRoles: [{ group: "platform", role: "owner" }],
  private: true,
  caCertificates: "-----BEGIN CERTIFICATE-----",
  scopes: ["mcp"],
});

test("an issuer that is changed in one thing keeps all others: an update replaces it", () => {
  const values = { ...issuerValues(issuer), userPrefix: "other:" };
  const changed = create(IssuerSchema, { ...issuer, userPrefix: "other:" });
  expect(create(IssuerSchema, toIssuer(values))).toEqual(changed);
});

test("roles by group need the claim of the groups", () => {
  const values = issuerValues(issuer);
  expect(issuerRules.groupsClaim("", values)).not.toBeNull();
  expect(issuerRules.groupsClaim("", { ...values, groupRoles: [] })).toBeNull();
  const rows = [...values.groupRoles, nextRow(values.groupRoles)];
  expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
});

test("a provider keeps what is not changed, and its secret unless told otherwise", () => {
  const provider = create(ProviderSchema, {
    name: "corp",
    title: "Corp",
    url: "https://login.example",
    clientId: "warder",
    scopes: ["profile"],
    userClaim: "upn",
    groupsClaim: "roles",
    groupRoles: [{ group: "dev", role: "viewer" }],
    private: true,
    caCertificates: "-----BEGIN CERTIFICATE-----",
  });
  const values = providerValues(provider);
  expect(create(ProviderSchema, toProvider(values))).toEqual(provider);
  expect(changedSecret(values)).toBeUndefined();
  expect(changedSecret({ clientSecret: "new", noSecret: false })).toBe("new");
  expect(changedSecret({ clientSecret: "typed", noSecret: true })).toBe("");
});
