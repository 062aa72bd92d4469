// What the pages say of the keys under which secrets are sealed.

import type { KeyEncryptionKey } from "../gen/warder/admin/v1/secret_pb";

type Key = Pick<KeyEncryptionKey, "id" | "seals" | "secrets" | "present">;

/** How far secrets are sealed under the newest key: the number of others, and words. */
export function rewrapState(keys: readonly Key[]): { older: number; words: string } {
  const older = keys.filter((key) => !key.seals && key.secrets > 0n);
  const count = older.reduce((sum, key) => sum + Number(key.secrets), 0);
  const missing = older.filter((key) => !key.present);
  if (missing.length > 0) {
    const names = missing.map((key) => key.id).join(", ");
    return {
      older: count,
      words: `This replica lacks a key that secrets need: ${names}. Put it back, or give those secrets anew.`,
    };
  }
  return count === 0
    ? { older: 0, words: "Every secret is sealed under the newest key." }
    : { older: count, words: `${count} secrets are sealed under an older key.` };
}
