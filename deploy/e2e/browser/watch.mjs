// What must hold on every page, whatever the journey does there: nothing is
// asked of another host, nothing goes wrong unseen, and everybody can read it.

import { mkdirSync } from "node:fs";
import { AxeBuilder } from "@axe-core/playwright";

const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const narrow = { width: 320, height: 640 };

/**
 * Watches one page of a browser, which may ask the gateway alone, and go to other
 * origins whose pages are not ours to judge. Problems gather until they are asked for.
 */
export class Watch {
  #problems = [];
  #refusals = new Set();

  constructor(page, base, others, screenshots) {
    this.page = page;
    this.base = base;
    this.others = others;
    this.screenshots = screenshots;
    page.on("console", (message) => this.#console(message));
    page.on("pageerror", (error) => this.#problems.push(`uncaught: ${error.stack ?? error}`));
    page.on("dialog", (dialog) => {
      this.#problems.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (request) => this.#request(request));
    page.on("response", (response) => this.#response(response));
  }

  /** Makes violations of the page's policy errors on its console. Await it before the first page. */
  async begin() {
    await this.page.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        console.error(
          `policy violated: ${event.violatedDirective} by ${event.blockedURI} ${event.sample}`,
        );
      });
    });
  }

  /** Whether the page is one of another origin. */
  #away() {
    return this.others.some((origin) => this.page.url().startsWith(`${origin}/`));
  }

  #console(message) {
    // What the server refused is counted by its answer.
    const refusal = message.text().startsWith("Failed to load resource: the server responded with");
    if (["error", "warning"].includes(message.type()) && !refusal && !this.#away()) {
      this.#problems.push(`console ${message.type()}: ${message.text()}`);
    }
  }

  #request(request) {
    const url = request.url();
    const allowed = [this.base, ...this.others].some((origin) => url.startsWith(`${origin}/`));
    if (!allowed && !url.startsWith("data:") && !this.#away()) {
      this.#problems.push(`foreign request: ${url}`);
    }
    if (/wds_|wdr_|wdj_/.test(url)) {
      this.#problems.push(`a secret in an address: ${url}`);
    }
  }

  #response(response) {
    if (response.status() >= 400) {
      const procedure = new URL(response.url()).pathname.split("/").at(-1);
      this.#refusals.add(`${procedure} ${response.status()}`);
    }
  }

  /** Returns what went wrong since the last call. refusals are all answers of 400 and above that had to come. */
  problems(refusals) {
    const seen = [...this.#refusals].sort().join(", ");
    const wanted = [...refusals].sort().join(", ");
    const problems = this.#problems;
    if (seen !== wanted) {
      problems.push(`refused: ${seen || "nothing"}; expected: ${wanted || "nothing"}`);
    }
    this.#problems = [];
    this.#refusals = new Set();
    return problems;
  }

  /** Looks at the page as it stands, light and dark: accessible, and within its frame in a narrow window too. */
  async look(name) {
    for (const colorScheme of ["light", "dark"]) {
      await this.page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await this.#settled();
      await this.#shoot(`${name}-${colorScheme}`);
      await this.#fits(name);
      const { violations } = await new AxeBuilder({ page: this.page }).withTags(rules).analyze();
      for (const { id, help, nodes } of violations) {
        const where = nodes.map(
          (node) => `  ${node.html.slice(0, 200)}: ${node.any[0]?.message ?? node.failureSummary}`,
        );
        this.#problems.push(`${name}, ${colorScheme}: ${id}: ${help}\n${where.join("\n")}`);
      }
    }
    await this.#narrow(name);
  }

  async #narrow(name) {
    const size = this.page.viewportSize();
    await this.page.setViewportSize(narrow);
    await this.#settled();
    await this.#shoot(`${name}-narrow`);
    await this.#fits(name);
    await this.page.setViewportSize(size);
  }

  /** Nothing may reach past the edge of the window or of a dialog, except within what scrolls by itself. */
  async #fits(name) {
    const over = await this.page.evaluate(() => {
      const frames = [document.documentElement, ...document.querySelectorAll("[role=dialog]")];
      return frames
        .filter((frame) => frame.scrollWidth > frame.clientWidth)
        .map((frame) => `${frame.tagName} ${frame.scrollWidth} > ${frame.clientWidth}`);
    });
    if (over.length > 0) {
      this.#problems.push(`${name}: wider than its frame: ${over.join(", ")}`);
    }
  }

  /** Waits until nothing moves, so that no colour is half-way between two. */
  async #settled() {
    await this.page.evaluate(async () => {
      for (let still = 0; still < 3; still++) {
        // A change of colours reaches the page by a script, a frame or two later.
        await new Promise(requestAnimationFrame);
        const ending = document
          .getAnimations()
          .filter((animation) => animation.effect.getTiming().iterations !== Infinity);
        if (ending.length > 0) {
          still = -1;
        }
        await Promise.allSettled(ending.map((animation) => animation.finished));
      }
    });
  }

  async #shoot(name) {
    if (this.screenshots) {
      mkdirSync(this.screenshots, { recursive: true });
      await this.page.screenshot({ path: `${this.screenshots}/${name}.png` });
    }
  }
}
