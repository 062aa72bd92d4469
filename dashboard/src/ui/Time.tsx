import { type Duration, type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

/** An instant in the reader's zone; the exact one in UTC is its title. */
export function Time({ at, absent = "never" }: { at: Timestamp | undefined; absent?: string }) {
  if (at === undefined) {
    return <span>{absent}</span>;
  }
  const iso = timestampDate(at).toISOString();
  return (
    <time dateTime={iso} title={iso}>
      {local.format(timestampDate(at))}
    </time>
  );
}

/** A duration in milliseconds, to three digits. A refusal has none: the ledger holds zero for it. */
export function Latency({ value }: { value: Duration | undefined }) {
  const milliseconds = value === undefined ? 0 : Number(value.seconds) * 1e3 + value.nanos / 1e6;
  if (milliseconds === 0) {
    return <span>–</span>;
  }
  return <span>{`${Number(milliseconds.toPrecision(3))}\u00a0ms`}</span>;
}
