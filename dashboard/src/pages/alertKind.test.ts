import { expect, test } from "vitest";
import { alertLink, alertTitle } from "./alertKind";

test("an alert about entries leads to them, one about a server does not", () => {
  expect(alertLink("definition-changed", "s")).toEqual({
    to: "/tools",
    search: { server: "s", state: "changed" },
  });
  expect(alertLink("hard-finding", "s")).toEqual({
    to: "/tools",
    search: { server: "s", findings: "hard" },
  });
  expect(alertLink("address-changed", "s")).toBeUndefined();
});

test("a kind that the page does not know is shown as it is called", () => {
  expect(alertTitle("server-failing")).toBe("The server has failed for long");
  expect(alertTitle("something-new")).toBe("something-new");
});
