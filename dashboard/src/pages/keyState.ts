// What the pages say of keys.

import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Key } from "../gen/warder/admin/v1/key_pb";
import type { AccessSearch, KeyStateName } from "../paths";

export function keyState(key: Pick<Key, "revokedAt" | "expiresAt">, now: Date): KeyStateName {
  if (key.revokedAt !== undefined) {
    return "revoked";
  }
  const ends = key.expiresAt && timestampDate(key.expiresAt);
  return ends !== undefined && ends <= now ? "expired" : "valid";
}

/** Why a key cannot be rotated; undefined if it can. The server refuses the same. */
export function notRotatable(key: Pick<Key, "successor">): string | undefined {
  return key.successor === ""
    ? undefined
    : `It was rotated already: its successor is ${key.successor}. Rotate that one.`;
}

/** The keys that an address asks for. */
export function keysLike(keys: readonly Key[], { q = "", state }: AccessSearch, now: Date): Key[] {
  const part = q.toLowerCase();
  return keys.filter(
    (key) =>
      (state === undefined || keyState(key, now) === state) &&
      [key.id, key.user, key.application, ...key.servers].some((text) =>
        text.toLowerCase().includes(part),
      ),
  );
}
