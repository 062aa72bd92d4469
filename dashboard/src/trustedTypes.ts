// Trusted Types are a second lock behind the Content-Security-Policy: where the
// browser has them, no string reaches a sink that parses HTML or loads a script
// unless it passes here. The component library writes CSS through innerHTML of
// its style elements, so text without a tag passes; markup never does.

interface PolicyFactory {
  createPolicy(name: string, rules: { createHTML(input: string): string }): unknown;
}

/** Refuses any markup. Exported for its test. */
export function refuseMarkup(input: string): string {
  if (input.includes("<")) {
    throw new TypeError("the dashboard never writes HTML from text");
  }
  return input;
}

/** Installs the policy. Call before anything renders. */
export function installTrustedTypes(): void {
  const factory = (window as { trustedTypes?: PolicyFactory }).trustedTypes;
  factory?.createPolicy("default", { createHTML: refuseMarkup });
}
