import { expect, test } from "vitest";
import { serverRules, toDuration, toHeaders } from "./serverFields";

test("what the API would refuse is refused where it is typed", () => {
  expect(serverRules.url("ftp://x")).not.toBeNull();
  expect(serverRules.url("https://x/mcp")).toBeNull();
  expect(serverRules.callTimeout("")).toBeNull();
  expect(serverRules.callTimeout(90)).toBeNull();
  expect(serverRules.callTimeout(3601)).toBe("From 0.001 to 3600 seconds");
  expect(serverRules.maxInFlight(0)).toBe("From 1 to 100000 calls");
  expect(serverRules.caCertificates("")).toBeNull();
  expect(serverRules.caCertificates("-----BEGIN CERTIFICATE-----\nx")).toBeNull();
  expect(serverRules.caCertificates("words")).toMatch(/^PEM/);
  expect(serverRules.caCertificates("-----BEGIN EC PRIVATE KEY-----")).toMatch(/private key/);
});

test("what is typed becomes what the API means", () => {
  expect(toDuration("")).toBeUndefined();
  expect(toDuration(1.5)).toMatchObject({ seconds: 1n, nanos: 500_000_000 });
  expect(toHeaders([{ id: 1, name: " X-A ", value: " b " }])).toEqual([
    { name: "X-A", value: "b" },
  ]);
});
