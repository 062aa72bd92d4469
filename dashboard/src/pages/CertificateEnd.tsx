import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { Text } from "@mantine/core";
import { Time } from "../ui/Time";
import { certificateRemark } from "./fleet";

/** Until when the certificate of a node or an agent is good, and whether that is soon. */
export function CertificateEnd({ at }: { at: Timestamp | undefined }) {
  const remark = certificateRemark(at, new Date());
  return (
    <>
      <Time at={at} absent="void" />
      {remark && (
        <Text size="xs" fw={700}>
          {remark === "over"
            ? "It is over: a new join token lets it in again."
            : "It should have been renewed by now."}
        </Text>
      )}
    </>
  );
}
