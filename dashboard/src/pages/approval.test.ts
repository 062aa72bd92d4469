import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import { ApproveToolsResponseSchema, type Tool, ToolSchema } from "../gen/warder/admin/v1/tool_pb";
import { approveEach } from "./approval";

const clean = create(ToolSchema, { server: "s", name: "clean" });
const soft = create(ToolSchema, {
  server: "s",
  name: "soft",
  findings: [{ check: "sink.parameter", severity: "soft" }],
});
const hard = create(ToolSchema, {
  server: "s",
  name: "hard",
  findings: [
    { check: "injection.command", severity: "hard" },
    { check: "sink.parameter", severity: "soft" },
  ],
});
const names = (tools: Tool[]) => tools.map((tool) => tool.name);

/** Approves all but those that it refuses. */
function approver(refusals: Record<string, Code> = {}) {
  return vi.fn(async ({ name }: Tool) => {
    const code = refusals[name];
    if (code !== undefined) {
      throw new ConnectError(`${name} is refused`, code);
    }
    return create(ApproveToolsResponseSchema);
  });
}

test("T-01: what has hard findings is never sent unless they are accepted", async () => {
  const approve = approver();
  const skipped = await approveEach([clean, hard, soft], false, approve);
  expect(names(approve.mock.calls.map(([tool]) => tool))).toEqual(["clean", "soft"]);
  expect(skipped).toEqual([{ tool: hard, why: "It has hard findings: injection.command" }]);

  const accepted = approver();
  expect(await approveEach([clean, hard], true, accepted)).toEqual([]);
  expect(accepted).toHaveBeenCalledTimes(2);
});

test("what changed in the meantime is passed over, and the rest is approved", async () => {
  const approve = approver({ clean: Code.Aborted });
  const skipped = await approveEach([clean, soft], false, approve);
  expect(skipped).toEqual([{ tool: clean, why: "clean is refused" }]);
  expect(approve).toHaveBeenCalledTimes(2);
});

test("what the control plane itself skips is told of", async () => {
  const answer = create(ApproveToolsResponseSchema, { skipped: [clean] });
  const skipped = await approveEach([clean, soft], false, async () => answer);
  expect(names(skipped.map(({ tool }) => tool))).toEqual(["clean", "clean"]);
});

test("an error that is not about one entry ends it, and so does a refusal of the only one", async () => {
  const denied = approver({ clean: Code.PermissionDenied });
  await expect(approveEach([clean, soft], false, denied)).rejects.toThrow("clean is refused");
  expect(denied).toHaveBeenCalledTimes(1);
  await expect(approveEach([clean], false, approver({ clean: Code.Aborted }))).rejects.toThrow();
});
