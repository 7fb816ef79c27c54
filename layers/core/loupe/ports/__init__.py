"""What the domain needs of the world, as small protocols; adapters and the tests' fakes implement them."""
