interface Props {
  /** Metres, at even distances. */
  heights: readonly number[]
  label: string
}

const width = 720
const height = 160

export function ElevationChart({ heights, label }: Props) {
  const lowest = Math.min(...heights)
  const range = Math.max(Math.max(...heights) - lowest, 1)
  const points = heights.map((metres, index) => {
    const x = (index / Math.max(heights.length - 1, 1)) * width
    const y = height - ((metres - lowest) / range) * height
    return `${x.toFixed(1)},${y.toFixed(1)}`
  })
  return (
    <svg className="elevation-chart" viewBox={`0 -4 ${width} ${height + 8}`} role="img" aria-label={label}>
      <polygon points={`0,${height} ${points.join(' ')} ${width},${height}`} />
      <polyline points={points.join(' ')} />
    </svg>
  )
}
