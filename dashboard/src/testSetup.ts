// What happy-dom lacks and the component library asks for.
window.matchMedia ??= ((query: string) => ({
  matches: false,
  media: query,
  addEventListener: () => {},
  removeEventListener: () => {},
})) as unknown as typeof window.matchMedia;

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = false;

// A text area that grows listens for fonts, of which happy-dom knows nothing.
Object.defineProperty(document, "fonts", { value: new EventTarget() });
