import Link from 'next/link'

const links = [
  { href: '/trails', label: 'Trails' },
  { href: '/regions', label: 'Regions' },
  { href: '/compare', label: 'Compare' },
  { href: '/units', label: 'Units' },
  { href: '/about', label: 'About' },
]

export function SiteHeader() {
  return (
    <header className="site-header">
      <Link href="/" className="site-name">
        Trail Almanac
      </Link>
      <nav aria-label="Main">
        {links.map(({ href, label }) => (
          <Link key={href} href={href}>
            {label}
          </Link>
        ))}
      </nav>
    </header>
  )
}
