"""The examination that our rules and anyone's own rule take: `nearfar.testing.contract.contract(rule)`."""
