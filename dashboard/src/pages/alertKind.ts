import { pb } from "../paths";

/** What an alert is about, by the kinds of proto/warder/admin/v1/alert.proto. */
const titles: Record<string, string> = {
  "definition-changed": "A definition has changed",
  "server-flapping": "Definitions change back and forth",
  "hard-finding": "A definition looks dangerous",
  "look-alike": "A name looks like another",
  "identity-changed": "The server calls itself differently",
  "address-changed": "The server was moved",
  "server-failing": "The server has failed for long",
};

/** A kind that this page does not know is shown as it is called. */
export function alertTitle(kind: string): string {
  return titles[kind] ?? kind;
}

/** Where the entries are that an alert is about; undefined if it is about the server itself. */
export function alertLink(kind: string, server: string) {
  switch (kind) {
    case "definition-changed":
    case "server-flapping":
      return pb.tools({ server, state: "changed" });
    case "hard-finding":
      return pb.tools({ server, findings: "hard" });
    default:
      return undefined;
  }
}
