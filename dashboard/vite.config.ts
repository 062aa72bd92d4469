import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

declare const process: { env: Record<string, string | undefined> };

// The address of a running control plane, for `npm run dev`.
const controlPlane = process.env.WARDER_URL ?? "http://127.0.0.1:7070";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "dist",
    // dist/placeholder.html is committed, and must outlive every build;
    // scripts/clean-dist.mjs removes the rest.
    emptyOutDir: false,
    assetsInlineLimit: 0,
    target: "es2023",
  },
  server: {
    proxy: { "^/warder\\.admin\\.v1\\..*": controlPlane },
  },
  test: {
    environment: "happy-dom",
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/testSetup.ts"],
    restoreMocks: true,
  },
});
