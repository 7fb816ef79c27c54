"""AWS behind the ports of `loupe.ports`; errors of AWS become errors of `loupe.domain.errors` here."""
