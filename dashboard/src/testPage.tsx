// What tests of whole pages have in common: the application in the document, and
// what somebody does and sees there.

import type { Transport } from "@connectrpc/connect";
import { notifications } from "@mantine/notifications";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, expect, vi } from "vitest";
import { App } from "./App";
import { createQueryClient } from "./api/queryClient";
import { createAppRouter } from "./router";

let root: Root | undefined;

/**
 * Opens a path of the application, against a control plane in memory. It is closed
 * after the test, or when another path is opened.
 */
export function mount(path: string, transport: Transport, setupToken = ""): HTMLElement {
  close();
  window.history.replaceState(null, "", path);
  const queryClient = createQueryClient(() => void router.invalidate());
  const router = createAppRouter({ transport, queryClient, setupToken });
  root = createRoot(document.body.appendChild(document.createElement("div")));
  root.render(<App transport={transport} queryClient={queryClient} router={router} />);
  return document.body;
}

function close() {
  root?.unmount();
  root = undefined;
  notifications.clean();
  document.body.replaceChildren();
}

afterEach(close);

export const shows = (page: HTMLElement, text: string) =>
  vi.waitFor(() => expect(page.textContent).toContain(text), 5_000);

/** The button that somebody finds by its name. */
export function button(page: HTMLElement, name: string): HTMLButtonElement {
  const found = [...page.querySelectorAll("button")].find(
    (each) => (each.getAttribute("aria-label") ?? each.textContent) === name,
  );
  if (found === undefined) {
    throw new Error(`no button ${name}`);
  }
  return found;
}

/** Types into a field. */
export function enter(field: HTMLElement | null, value: string) {
  if (field === null) {
    throw new Error("no such field");
  }
  // React listens to the native setter only.
  Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value")?.set?.call(field, value);
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Submits a form: the one that is open above all else, unless it is named. */
export const submit = (page: HTMLElement, form = "form") =>
  [...page.querySelectorAll(form)]
    .at(-1)
    ?.dispatchEvent(new Event("submit", { bubbles: true, cancelable: true }));
