import { createTheme } from "@mantine/core";

/** Shade 8 of the primary colour is the lightest whose white text has enough contrast. */
export const theme = createTheme({
  primaryColor: "blue",
  primaryShade: { light: 8, dark: 8 },
  autoContrast: true,
  luminanceThreshold: 0.2,
  respectReducedMotion: true,
  fontFamilyMonospace: "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace",
});
