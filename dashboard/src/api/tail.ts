// The live tail of the ledger: one server stream, read into a bounded list.

import { createClient, type Transport } from "@connectrpc/connect";
import { AuditService, type Call } from "../gen/warder/admin/v1/audit_pb";
import type { AuditSearch } from "../paths";
import { callFilter, isSignedOut } from "./queries";

/** How many calls the tail holds. When full, the oldest leave. */
export const tailLimit = 500;

const backlog = 50;
const renderInterval = 250;
const firstRetry = 500;
const longestRetry = 15_000;

export interface TailState {
  /** Newest first; at most tailLimit. */
  calls: Call[];
  /** How many calls came since pausing. */
  waiting: number;
  status: "connecting" | "live" | "lost";
  paused: boolean;
}

/**
 * Follows the calls that match a search until it is closed. It is a store for
 * useSyncExternalStore, and tells its listener at most every renderInterval.
 *
 *	connecting ──message──▶ live ──stream ended──▶ lost ──after a pause──▶ connecting
 */
export class CallTail {
  private state: TailState = { calls: [], waiting: 0, status: "connecting", paused: false };
  private held: Call[] = [];
  private listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly abort = new AbortController();

  constructor(
    private readonly transport: Transport,
    private readonly search: AuditSearch,
  ) {}

  readonly snapshot = (): TailState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Runs until close. It returns early only when nobody is signed in. */
  async run(): Promise<void> {
    let retry = firstRetry;
    while (!this.abort.signal.aborted) {
      try {
        await this.follow(() => {
          retry = firstRetry;
        });
      } catch (error) {
        if (isSignedOut(error)) {
          return this.update({ status: "lost" });
        }
      }
      this.update({ status: "lost" });
      await this.pauseFor(retry * (0.5 + Math.random()));
      retry = Math.min(retry * 2, longestRetry);
    }
  }

  close(): void {
    this.abort.abort();
    clearTimeout(this.timer);
  }

  /** Holds new calls back until resume. */
  pause(): void {
    this.update({ paused: true });
  }

  resume(): void {
    const calls = merge(this.held, this.state.calls);
    this.held = [];
    this.update({ paused: false, calls, waiting: 0 });
  }

  private async follow(onMessage: () => void): Promise<void> {
    const client = createClient(AuditService, this.transport);
    const request = { filter: callFilter(this.search), backlog };
    for await (const { call } of client.tailCalls(request, { signal: this.abort.signal })) {
      onMessage();
      this.receive(call);
    }
  }

  private receive(call: Call | undefined): void {
    if (call !== undefined) {
      this.held = merge([call], this.held);
    }
    if (this.state.status !== "live") {
      this.update({ status: "live" });
    }
    this.timer ??= setTimeout(() => this.flush(), renderInterval);
  }

  private flush(): void {
    this.timer = undefined;
    if (this.state.paused) {
      this.update({ waiting: this.held.length });
    } else if (this.held.length > 0) {
      this.resume();
    }
  }

  private update(change: Partial<TailState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) {
      listener();
    }
  }

  private pauseFor(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.abort.signal.addEventListener("abort", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/**
 * Puts newer calls before older ones. A call that is in both comes once, as the
 * newer says: after a reconnection the backlog repeats what is known.
 */
function merge(newer: Call[], older: Call[]): Call[] {
  const seen = new Set(newer.map((call) => call.id));
  return [...newer, ...older.filter((call) => !seen.has(call.id))].slice(0, tailLimit);
}
