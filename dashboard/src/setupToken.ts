// The link printed at the first start carries the setup token in its fragment,
// which browsers send to no server. It is read once, before the router looks at
// the address, and lives in memory only: not in the history, not in storage.

const parameter = "t";
const shape = /^wds_[A-Za-z0-9_-]+$/;

/**
 * Returns the setup token of the address and removes the fragment from the
 * address bar and from the history entry. Returns "" when there is none.
 */
export function takeSetupToken(location: Location, history: History): string {
  const fragment = new URLSearchParams(location.hash.replace(/^#/, ""));
  const token = fragment.get(parameter);
  if (token === null) {
    return "";
  }
  history.replaceState(history.state, "", location.pathname + location.search);
  return shape.test(token) ? token : "";
}
