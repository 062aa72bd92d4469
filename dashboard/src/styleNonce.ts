/** The nonce that the server wrote into the page, for the styles that libraries add. */
export function styleNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? "";
}

/**
 * Tells the nonce to react-remove-scroll, which keeps the page still behind a
 * dialog with a style element of its own. It looks for this global and nothing
 * else.
 */
export function publishStyleNonce(): void {
  (window as { __webpack_nonce__?: string }).__webpack_nonce__ = styleNonce();
}
