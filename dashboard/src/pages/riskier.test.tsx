import { create } from "@bufbuild/protobuf";
import { MantineProvider } from "@mantine/core";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { ToolSchema } from "../gen/warder/admin/v1/tool_pb";
import { Riskier } from "./ToolRisk";

test.each([
  ["read", true, "destructive", true],
  ["read", true, "unclassified", true],
  ["destructive", true, "external", false],
  ["write", true, "write", false],
  ["read", false, "destructive", false],
])("a person's %s (%s) beside a definition that is %s warns: %s", (risk, riskSet, said, warns) => {
  const tool = create(ToolSchema, { risk, riskSet, riskReasons: [{ risk: said }] });
  const text = renderToStaticMarkup(
    <MantineProvider>
      <Riskier tool={tool} />
    </MantineProvider>,
  );
  expect(text.includes("riskier than")).toBe(warns);
});
