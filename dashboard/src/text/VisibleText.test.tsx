import { renderToStaticMarkup } from "react-dom/server";
import { expect, test } from "vitest";
import { refuseMarkup } from "../trustedTypes";
import { VisibleText } from "./VisibleText";

const attacks = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)>",
  "<a href='javascript:alert(1)'>click</a>",
  '"><iframe src=//evil.example>',
  "</bdi></mark><style>*{display:none}</style>",
  "&lt;script&gt;alert(1)&lt;/script&gt;",
  "<scr\u200bipt>alert(1)</scr\u200bipt>",
  "{{constructor.constructor('alert(1)')()}}",
];

test.each(attacks)("T-14: text stays text: %j", (attack) => {
  const holder = document.createElement("div");
  holder.innerHTML = renderToStaticMarkup(<VisibleText text={attack} />);
  const elements = Array.from(holder.querySelectorAll("*"), (each) => each.tagName.toLowerCase());
  expect(elements.filter((name) => name !== "bdi" && name !== "mark")).toEqual([]);
  expect(holder.textContent).toContain(attack.split("\u200b")[0]);
});

test("T-14: markup cannot pass the page's Trusted Types policy, styles can", () => {
  for (const attack of attacks.slice(0, 6)) {
    expect(() => refuseMarkup(attack)).toThrow(TypeError);
  }
  expect(refuseMarkup(":root{--a: 1px}")).toBe(":root{--a: 1px}");
});

test("what is hidden is shown by its code", () => {
  expect(renderToStaticMarkup(<VisibleText text={"a\u202eb"} />)).toContain("⟨U+202E⟩");
});
