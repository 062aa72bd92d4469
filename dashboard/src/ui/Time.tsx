import { type Duration, durationMs, type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";

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

/** A duration in milliseconds, to three digits. */
export function Latency({ value }: { value: Duration | undefined }) {
  return (
    <span>{value === undefined ? "–" : `${Number(durationMs(value).toPrecision(3))} ms`}</span>
  );
}
