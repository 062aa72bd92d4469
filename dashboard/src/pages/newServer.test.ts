import { expect, test } from "vitest";
import { type NewServer, newServerRules, toRequest } from "./newServer";
import { nextSecret, usualTransport } from "./serverFields";

const typed: NewServer = {
  name: "files",
  place: "command",
  url: "https://x/mcp",
  private: true,
  headers: [{ id: 1, name: "Authorization", value: "Bearer 1" }],
  agent: "laptop",
  command: "npx -y 'two words'",
  directory: " /srv ",
  environment: [{ id: 1, name: " TOKEN ", value: " s3cret " }],
  shared: true,
  ...usualTransport,
  caCertificates: "-----BEGIN CERTIFICATE-----",
  callTimeout: 3,
};

test("of what was typed only what belongs to the place is asked for", () => {
  const bounds = { name: "files", callTimeout: { seconds: 3n }, maxInFlight: 0 };
  expect(toRequest(typed)).toMatchObject({
    ...bounds,
    agent: "laptop",
    command: ["npx", "-y", "two words"],
    directory: "/srv",
    environment: [{ name: "TOKEN", value: " s3cret " }],
    shared: true,
  });
  expect(Object.keys(toRequest(typed))).not.toContain("headers");
  expect(toRequest({ ...typed, place: "url" })).toMatchObject({
    ...bounds,
    url: "https://x/mcp",
    private: true,
    headers: [{ name: "Authorization", value: "Bearer 1" }],
  });
  const keys = (place: NewServer["place"]) => Object.keys(toRequest({ ...typed, place })).sort();
  expect(keys("url")).not.toContain("agent");
  expect(keys("beside")).toEqual(["agent", "callTimeout", "maxInFlight", "name", "url"]);
  expect(keys("declared")).toEqual(["agent", "callTimeout", "maxInFlight", "name"]);
});

test("what the API would refuse is refused where it is typed, of the place alone", () => {
  const at = (place: NewServer["place"]) => ({ ...typed, place });
  expect(newServerRules.url("", at("url"))).not.toBeNull();
  expect(newServerRules.url("", at("beside"))).not.toBeNull();
  expect(newServerRules.url("", at("command"))).toBeNull();
  expect(newServerRules.agent("", at("url"))).toBeNull();
  expect(newServerRules.agent("", at("declared"))).not.toBeNull();
  expect(newServerRules.command("npx 'x", at("command"))).toMatch(/not closed/);
  expect(newServerRules.command("  ", at("command"))).not.toBeNull();
  expect(newServerRules.command("'' x", at("command"))).not.toBeNull();
  expect(newServerRules.command("", at("url"))).toBeNull();
  expect(newServerRules.command("npx x", at("command"))).toBeNull();
  expect(newServerRules.environment.name("1X", at("command"))).not.toBeNull();
  expect(newServerRules.environment.name("", at("url"))).toBeNull();
  expect(newServerRules.headers.name("", at("url"))).not.toBeNull();
  expect(newServerRules.headers.name("", at("command"))).toBeNull();
  expect(newServerRules.caCertificates("words", at("command"))).toBeNull();
});

test("a row that is added has an id of its own", () => {
  expect(nextSecret([{ id: 4, name: "a", value: "" }]).id).toBe(5);
});
