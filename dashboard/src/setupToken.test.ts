import { beforeEach, expect, test } from "vitest";
import { takeSetupToken } from "./setupToken";

beforeEach(() => {
  window.history.replaceState(null, "", "/");
});

test("T-38: the setup token leaves the address, and goes into no storage", () => {
  const entries = window.history.length;
  window.history.replaceState(null, "", "/setup?lang=en#t=wds_4JrAbC-_9");

  expect(takeSetupToken(window.location, window.history)).toBe("wds_4JrAbC-_9");

  expect(window.location.hash).toBe("");
  expect(window.location.href).not.toContain("wds_");
  expect(window.location.search).toBe("?lang=en");
  expect(window.history.length).toBe(entries);
  expect(window.localStorage.length + window.sessionStorage.length).toBe(0);
  expect(takeSetupToken(window.location, window.history)).toBe("");
});

test("what is not a setup token is not taken for one, and leaves the address too", () => {
  window.history.replaceState(null, "", "/setup#t=%3Cscript%3E");
  expect(takeSetupToken(window.location, window.history)).toBe("");
  expect(window.location.hash).toBe("");
});

test("another fragment stays", () => {
  window.history.replaceState(null, "", "/tools#main");
  expect(takeSetupToken(window.location, window.history)).toBe("");
  expect(window.location.hash).toBe("#main");
});
