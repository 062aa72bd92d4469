import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { afterEach, expect, test, vi } from "vitest";
import { AuditService, TailCallsResponseSchema } from "../gen/warder/admin/v1/audit_pb";
import { CallTail, tailLimit } from "./tail";

const message = (id?: string) =>
  create(TailCallsResponseSchema, { call: id === undefined ? undefined : { id } });

/** A control plane whose nth tail yields what the nth script yields. */
function serving(...scripts: ((signal: AbortSignal) => AsyncGenerator<string | undefined>)[]) {
  let streams = 0;
  const transport = createRouterTransport(({ rpc }) => {
    rpc(AuditService.method.tailCalls, async function* (_request, { signal }) {
      const script = scripts[Math.min(streams++, scripts.length - 1)];
      for await (const id of script?.(signal) ?? []) {
        yield message(id);
      }
    });
  });
  return { transport, streams: () => streams };
}

const left = (signal: AbortSignal) =>
  new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));

const ids = (tail: CallTail) => tail.snapshot().calls.map((call) => call.id);

let tail: CallTail;
afterEach(() => tail.close());

function follow(transport: ReturnType<typeof createRouterTransport>) {
  tail = new CallTail(transport, {});
  void tail.run();
  return tail;
}

test("calls come newest first, and a heartbeat is none", async () => {
  const { transport } = serving(async function* (signal) {
    yield* ["1", undefined, "2"];
    await left(signal);
  });
  follow(transport);
  await vi.waitFor(() => expect(ids(tail)).toEqual(["2", "1"]));
  expect(tail.snapshot().status).toBe("live");
});

test("the list is bounded: the oldest leave", async () => {
  const { transport } = serving(async function* (signal) {
    for (let i = 0; i < tailLimit + 20; i++) {
      yield String(i);
    }
    await left(signal);
  });
  follow(transport);
  await vi.waitFor(() => expect(ids(tail)[0]).toBe(String(tailLimit + 19)));
  expect(ids(tail)).toHaveLength(tailLimit);
});

test("a pause holds the list still and counts; resuming shows what was held", async () => {
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const { transport } = serving(async function* (signal) {
    yield "1";
    await gate;
    yield* ["2", "3"];
    await left(signal);
  });
  follow(transport);
  await vi.waitFor(() => expect(ids(tail)).toEqual(["1"]));
  tail.pause();
  release();
  await vi.waitFor(() => expect(tail.snapshot().waiting).toBe(2));
  expect(ids(tail)).toEqual(["1"]);
  tail.resume();
  expect(ids(tail)).toEqual(["3", "2", "1"]);
});

test("a lost stream is opened again, and what it repeats comes once", async () => {
  const { transport, streams } = serving(
    async function* () {
      yield* ["1", "2"];
    },
    async function* (signal) {
      yield* ["1", "2", "3"];
      await left(signal);
    },
  );
  follow(transport);
  await vi.waitFor(() => expect(ids(tail)).toEqual(["3", "2", "1"]), 5_000);
  expect(streams()).toBe(2);
});

test("when nobody is signed in, it does not try again", async () => {
  let asked = 0;
  const transport = createRouterTransport(({ rpc }) => {
    // biome-ignore lint/correctness/useYield: it fails before it yields.
    rpc(AuditService.method.tailCalls, async function* () {
      asked++;
      throw new ConnectError("sign in", Code.Unauthenticated);
    });
  });
  tail = new CallTail(transport, {});
  await tail.run();
  expect(asked).toBe(1);
  expect(tail.snapshot().status).toBe("lost");
});
