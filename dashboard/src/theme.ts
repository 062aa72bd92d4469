import { Alert, type CSSVariablesResolver, createTheme } from "@mantine/core";

// The library's button that closes has a drawing alone, and no name.
const closable = { closeButtonProps: { "aria-label": "Close" } };

// The library writes a <header>, which would be a second banner of the page.
const overlay = { ...closable, attributes: { header: { role: "presentation" } } };

/** Shade 8 of the primary colour is the lightest whose white text has enough contrast. */
export const theme = createTheme({
  primaryColor: "blue",
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  luminanceThreshold: 0.2,
  respectReducedMotion: true,
  fontFamilyMonospace: "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace",
  components: {
    // The frame and the drawing have the colour; words keep their contrast.
    Alert: Alert.extend({
      defaultProps: { variant: "outline" },
      styles: { label: { color: "var(--mantine-color-text)" } },
    }),
    // By name alone: an import would put them into the first script.
    Drawer: { defaultProps: { ...overlay, position: "right" } },
    Modal: { defaultProps: overlay },
    Notification: { defaultProps: closable },
  },
});

/** Small print and errors, dark or light enough to be read (WCAG 1.4.3). */
export const readableColors: CSSVariablesResolver = (theme) => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": theme.colors.gray[7],
    "--mantine-color-error": theme.colors.red[9],
    "--mantine-color-placeholder": theme.colors.gray[7],
  },
  dark: {
    "--mantine-color-dimmed": theme.colors.dark[1],
    "--mantine-color-error": theme.colors.red[4],
    "--mantine-color-placeholder": theme.colors.dark[1],
  },
});
