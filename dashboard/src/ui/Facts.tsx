import { Table } from "@mantine/core";
import type { ReactNode } from "react";

/** Names and values, one to a row. Rows without a value are left out. */
export function Facts({ rows }: { rows: [name: string, value: ReactNode][] }) {
  return (
    <Table variant="vertical" layout="fixed">
      <Table.Tbody>
        {rows
          .filter(([, value]) => value !== undefined && value !== "" && value !== false)
          .map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Th w={150} scope="row">
                {name}
              </Table.Th>
              <Table.Td style={{ overflowWrap: "anywhere" }}>{value}</Table.Td>
            </Table.Tr>
          ))}
      </Table.Tbody>
    </Table>
  );
}
