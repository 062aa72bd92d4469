import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { createQueryClient } from "./api/queryClient";
import { createTransport } from "./api/transport";
import { createAppRouter } from "./router";
import { takeSetupToken } from "./setupToken";
import { publishStyleNonce } from "./styleNonce";
import { installTrustedTypes } from "./trustedTypes";

installTrustedTypes();
publishStyleNonce();
// Before the router is made, for the router keeps the address.
const setupToken = takeSetupToken(window.location, window.history);

const transport = createTransport();
const queryClient = createQueryClient(() => {
  queryClient.clear();
  void router.invalidate(); // The sign-in check runs again and leads to /login.
});
const router = createAppRouter({ transport, queryClient, setupToken });

const element = document.getElementById("root");
if (element === null) {
  throw new Error("index.html has no element with the id root");
}
createRoot(element).render(
  <StrictMode>
    <App transport={transport} queryClient={queryClient} router={router} />
  </StrictMode>,
);
