import { formatDistance, formatDuration, formatHeight, formatSlope, slopeClass } from '@almanac/units'

import type { ElevationFacts } from '@/lib/elevation'

interface Props {
  length: number
  facts: ElevationFacts
}

export function ElevationTable({ length, facts }: Props) {
  const { ascent, descent, lowest, highest, steepest, hours } = facts
  const rows = [
    ['Length', formatDistance(length)],
    ['Walking time', formatDuration(hours)],
    ['Ascent', formatHeight(ascent)],
    ['Descent', formatHeight(descent)],
    ['Lowest point', formatHeight(lowest)],
    ['Highest point', formatHeight(highest)],
    ['Steepest part', `${formatSlope(steepest)} (${slopeClass(steepest)})`],
  ] as const
  return (
    <table>
      <tbody>
        {rows.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{value}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
