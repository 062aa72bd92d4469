import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";

/**
 * The transport to the control plane that served this page. The session is in a
 * cookie that scripts cannot read, so there is nothing to attach.
 */
export function createTransport(): Transport {
  return createConnectTransport({ baseUrl: window.location.origin });
}
